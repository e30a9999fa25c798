package ui

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"athanor/dsl"
	"athanor/engine/internal/exec"
	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
	"athanor/steps"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(7), "7"}, {Count(0.125), "0.125"}, {Count(999), "999"}, {Count(1000), "1.00k"}, {Count(-1234), "-1.23k"},
		{Count(9999), "10.0k"}, {Count(45_600_000), "45.6M"}, {Count(999_949), "1.00M"}, {Count(7.8e12), "7.80T"}, {Count(3.8e25), "38000000000P"},
		{Bytes(0), "0 B"}, {Bytes(1023), "1023 B"}, {Bytes(1536), "1.5 KiB"}, {Bytes(5 << 40), "5.0 TiB"}, {Bytes(5 << 52), "20480.0 TiB"},
		{Duration(0), "0.0s"}, {Duration(9.94), "9.9s"}, {Duration(9.96), "10s"}, {Duration(59.6), "1m00s"}, {Duration(200), "3m20s"},
		{Duration(3600), "1h00m"}, {Duration(7500), "2h05m"}, {Duration(3*86400 + 4*3600), "3d4h"},
		{FLOPs(12.5e12), "12.5TFLOP"}, {FLOPs(3.7991e25), "3.80e25 FLOP"}, {Thousands(8030261248), "8,030,261,248"}, {Thousands(-1234), "-1,234"},
		{Thousands(999), "999"}, {Thousands(-999), "-999"},
		{Figure(3), "3"}, {Figure(3.14159), "3.142"}, {Figure(0.00012345), "0.0001234"}, {Figure(-1e20), "-1e+20"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestColumns(t *testing.T) {
	got := Columns([][]string{{"a", "bb", ""}, {"\x1b[32mlonger\x1b[0m", "b", "end"}, {"é"}})
	want := "a       bb\n\x1b[32mlonger\x1b[0m  b   end\né\n"
	if got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWrap(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"one", "  one\n"},
		{"one two  three\nfour", "  one two\n  three\n  four\n"},
		{"a-very-long-word and", "  a-very-long-word\n  and\n"},
		{"größe größe", "  größe\n  größe\n"},
	} {
		if got := Wrap(c.text, "  ", 9); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func step(name string) *plan.Step {
	return &plan.Step{Address: dsl.Address{Type: "pretrain", Name: name}, Action: plan.Run, Reason: "never ran"}
}

func TestLine(t *testing.T) {
	for _, c := range []struct {
		row  row
		want string
	}{
		{row{progress: steps.Event{Kind: steps.EventProgress, Done: 3e5, Total: 1.5e6, Unit: "tokens", Rate: 4000, OfPeak: 0.4567}, metrics: map[string]float64{"lr": 0.001, "loss": 3.5}, at: 12},
			"pretrain.a: 20%, step 12, 300k of 1.50M tokens, loss 3.5, 4.00k tokens/s (46% of float32 peak), 5m00s left, lr 0.001"},
		{row{progress: steps.Event{Kind: steps.EventProgress, Done: 20, Unit: "documents"}}, "pretrain.a: 20 documents"},
		{row{progress: steps.Event{Kind: steps.EventProgress, Done: 11, Total: 10}}, "pretrain.a: 100%, 11 of 10"},
		{row{started: time.Now()}, "pretrain.a: running for 0.0s"},
	} {
		c.row.step = step("a")
		if got := c.row.line(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestPlain shows what a run looks like where nothing can be redrawn: few lines, no escape codes.
func TestPlain(t *testing.T) {
	var out bytes.Buffer
	p := NewProgress(&out)
	a, b := step("a"), step("b")
	a.Resumes = true
	start := time.Now()
	at := func(seconds int, u exec.Update) {
		u.Time = start.Add(time.Duration(seconds) * time.Second)
		p.Update(u)
	}
	progress := func(done float64) *steps.Event {
		return &steps.Event{Kind: steps.EventProgress, Done: done, Total: 100, Unit: "tokens"}
	}
	at(0, exec.Update{Step: a, State: journal.Running})
	for i := range 25 {
		at(i, exec.Update{Step: a, State: journal.Running, Event: progress(float64(i))})
	}
	for _, figures := range []map[string]float64{{"loss": 2}, {"eval_loss": 3}} { // a held-out loss comes between those of training
		at(25, exec.Update{Step: a, State: journal.Running, Event: &steps.Event{Kind: steps.EventMetric, Step: 7, Metrics: figures}})
	}
	at(30, exec.Update{Step: a, State: journal.Running, Event: progress(30)})
	at(25, exec.Update{Step: a, State: journal.Running, Note: "waits"})
	at(25, exec.Update{Step: a, State: journal.Running, Event: &steps.Event{Kind: steps.EventWarn, Message: "hot"}})
	at(26, exec.Update{Step: a, State: journal.Done, Seconds: 26})
	at(26, exec.Update{Step: b, State: journal.Skipped})
	at(26, exec.Update{Note: "no room"})
	p.Close()
	want := `pretrain.a: running (never ran), from its last checkpoint
pretrain.a: 10%, 10 of 100 tokens
pretrain.a: 20%, 20 of 100 tokens
pretrain.a: 30%, step 7, 30 of 100 tokens, loss 2
pretrain.a: waits
pretrain.a: warning: hot
pretrain.a: done in 26s
pretrain.b: skipped (something that it depends on failed)
warning: no room
`
	if out.String() != want {
		t.Errorf("%s\nwant\n%s", out.String(), want)
	}
}

// TestLive shows that live lines are taken away before anything else is printed, and never wrap.
func TestLive(t *testing.T) {
	var out bytes.Buffer
	p := &Progress{w: &out, style: Style{Live: true}, done: make(chan struct{})}
	a := step(strings.Repeat("a", 100))
	p.Update(exec.Update{Time: time.Now(), Step: a, State: journal.Running})
	p.Update(exec.Update{Time: time.Now(), Step: a, State: journal.Running, Event: &steps.Event{Kind: steps.EventProgress, Done: 1, Total: 2}})
	p.Update(exec.Update{Time: time.Now(), Step: a, State: journal.Done})
	p.Close()
	lines := strings.Split(out.String(), "\n")
	if live := lines[1]; len([]rune(live)) != 79 || !strings.HasSuffix(live, "…") {
		t.Errorf("the live line is %q", live)
	}
	if !strings.HasPrefix(lines[2], "\x1b[1A\x1b[J") || !strings.Contains(lines[2], "done") || lines[len(lines)-1] != "" {
		t.Errorf("the live line is not taken away: %q", lines[2:])
	}
}

func TestStyle(t *testing.T) {
	if s := StyleOf(&bytes.Buffer{}); s.Color || s.Live || s.Width != 0 {
		t.Errorf("a buffer is no terminal: %+v", s)
	}
	plain, colored := Style{}, Style{Color: true}
	if got := plain.state(journal.Failed); got != "failed" {
		t.Errorf("%q without color", got)
	}
	if got := colored.state(journal.Failed); got != "\x1b[31mfailed\x1b[0m" {
		t.Errorf("%q with color", got)
	}
}
