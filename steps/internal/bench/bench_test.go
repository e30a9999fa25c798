package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"

	"athanor/gpu/cpu"
)

// TestMain lets the tests start their own program as a player.
func TestMain(m *testing.M) {
	if serving() {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// A run of the cheaper parts through real child processes; with an interpreter, beside the peers.
func TestMeasure(t *testing.T) {
	o, err := parse([]string{"--only", "step,decode,bpe", "--text", "1", "--sizes", "1m", "--contexts", "256", "--rounds", "1", "--threads", "1", "--compile=false", "--clock", "cpu"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	report, err := measure(t.Context(), o, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	device, err := cpu.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	// A step in each precision, two batches of decoding, training and encoding of tokenizers.
	if want := len(device.Precisions()) + 4; len(report.Results) != want {
		t.Fatalf("%d results instead of %d: %+v", len(report.Results), want, report.Results)
	}
	for _, r := range report.Results {
		for _, e := range r.Entries {
			if e.Skipped != "" || !(e.Speed.Median > 0) || (r.Part != "bpe") != (e.Share != nil) {
				t.Errorf("%s: %+v", r.Name, e)
			}
		}
	}
	if got := len(report.Results[0].Entries) > 1; got != (o.python != "") {
		t.Errorf("peers took part: %v, with the interpreter %q", got, o.python)
	}
	var out bytes.Buffer
	o.json = true
	if err := report.print(&out, o); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || !reflect.DeepEqual(back, *report) {
		t.Errorf("JSON reads back as %+v, %v", back, err)
	}
}

// Who interrupts a long run keeps what it found until then.
func TestInterruptedRunReports(t *testing.T) {
	o, err := parse([]string{"--only", "decode", "--sizes", "1m,12m", "--rounds", "1", "--threads", "1"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	report, err := measure(ctx, o, func(line string) {
		if strings.HasPrefix(line, "decode 12m") {
			interrupt()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "interrupted in decode") {
		t.Errorf("the error is %v", err)
	}
	if report == nil || len(report.Results) != 2 {
		t.Errorf("the report is %+v", report)
	}
}

// What a player refuses is a reply, and the player lives on.
func TestPlayerRefuses(t *testing.T) {
	b := &bench{ctx: t.Context(), dir: t.TempDir(), versions: map[string]string{}}
	p, err := b.athanor(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	for _, r := range []request{
		{Do: "sing"}, {Do: "run", Calls: 1}, {Do: "prepare", Job: "nothing"}, {Do: "prepare", Job: "gemm", Product: "outer", N: 1, I: 1, O: 1},
		{Do: "prepare", Job: "gemm", Product: "weight", N: 1, I: 1, O: 1, Precision: "int4"}, {Do: "prepare", Job: "encode", Text: "missing"},
	} {
		if _, err := p.ask(r); err == nil {
			t.Errorf("%+v is answered", r)
		}
	}
	back, err := p.ask(request{Do: "prepare", Job: "gemm", Product: "weight", N: 8, I: 4, O: 6, Precision: float32Name})
	if err != nil || len(back.Check) != 1 {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestDifferentFiguresAreAnError(t *testing.T) {
	if err := agree([]float64{8.3, 1}, []float64{8.304, 1}, 1e-3); err != nil {
		t.Error(err)
	}
	for _, got := range [][]float64{{8.31, 1}, {8.3}, {8.3, 1, 1}} {
		if err := agree([]float64{8.3, 1}, got, 1e-3); err == nil {
			t.Errorf("%v agrees", got)
		}
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"--sizes", "12m,1m", "--threads", "2,2", "--only", "gemm", "--contexts", "512"}, io.Discard)
	if err != nil || !o.sizes["12m"] || o.sizes["124m"] || len(o.threads) != 1 || o.only["step"] || o.contexts[0] != 512 {
		t.Errorf("%+v, %v", o, err)
	}
	for _, args := range []string{
		"--sizes 7b", "--only gem", "--threads 0", "--threads two", "--contexts 300", "--contexts 2048", "--rounds 0", "more", "--fast", "--clock sun",
		"--clock cpu --threads 1,2",
	} {
		if _, err := parse(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s is accepted", args)
		}
	}
}

// A report with a peer that is slower in one shape, faster in another, and one that refused.
var reported = Report{
	Machine: "A CPU (portable), 2 cores, 4 GiB", Load: []string{"0.10 0.20 0.30", "1.00 0.50 0.40"}, Peers: true, Clock: "wall", Rounds: 3,
	Versions: map[string]string{"torch": "2", "cpu": "A CPU"},
	Results: []Result{
		{Part: "gemm", Name: "forward 1×2×3", Threads: 1, Unit: "GFLOP/s", Entries: []Entry{
			{Name: "Athanor", Speed: spread([]float64{10, 12, 8}), Share: spread([]float64{0.5, 0.6, 0.4})},
			{Name: "OpenBLAS", Speed: spread([]float64{5, 6, 4}), Ratio: spread([]float64{2, 2, 2})},
		}},
		{Part: "gemm", Name: "input 1×2×3", Threads: 1, Unit: "GFLOP/s", Entries: []Entry{
			{Name: "Athanor", Speed: spread([]float64{40}), Share: spread([]float64{0.5})},
			{Name: "OpenBLAS", Speed: spread([]float64{80}), Ratio: spread([]float64{0.5})},
		}},
		{Part: "step", Name: "1m, 8×256", Threads: 2, Unit: "tokens/s", Entries: []Entry{
			{Name: "Athanor", Speed: spread([]float64{2555}), Share: spread([]float64{0.7}), PeakBytes: 64 << 20},
			{Name: "PyTorch", Speed: spread([]float64{1000, 2000}), Ratio: spread([]float64{2.5, 1.5}), PeakBytes: 128 << 20},
			{Name: "PyTorch, compiled", Skipped: "refused: no compiler"},
		}},
		{Part: "bpe", Name: "train", Threads: 2, Unit: "MB/s", Entries: []Entry{
			{Name: "Athanor", Speed: spread([]float64{30})}, {Name: "tokenizers", Speed: spread([]float64{3}), Ratio: spread([]float64{10})},
		}},
		{Part: "bpe", Name: "encode", Threads: 2, Unit: "MB/s", Entries: []Entry{
			{Name: "Athanor", Speed: spread([]float64{80})}, {Name: "tokenizers", Speed: spread([]float64{4}), Ratio: spread([]float64{20})},
			{Name: "tiktoken", Speed: spread([]float64{10}), Ratio: spread([]float64{8})},
		}},
	},
}

func TestPrint(t *testing.T) {
	want := `Machine: A CPU (portable), 2 cores, 4 GiB; load 0.10 0.20 0.30 → 1.00 0.50 0.40.

Versions: torch 2. Medians of 3 rounds by the wall clock; lowest–highest in brackets.

### The three products of linear layers, 1 thread, GFLOP/s

| gemm | Athanor | of the limit | OpenBLAS | Athanor is |
|---|--:|--:|--:|--:|
| forward 1×2×3 | 10.0 | 0.50 | 5.00 | ×2.00 (2.00–2.00) |
| input 1×2×3 | 40.0 | 0.50 | 80.0 | ×0.50 (0.50–0.50) |
| geometric mean | 20.0 | 0.50 | 20.0 | ×1.00 (worst 0.50) |

### Whole training steps, 2 threads, tokens/s

| step | Athanor | of the limit | PyTorch | Athanor is | PyTorch, compiled | Athanor is |
|---|--:|--:|--:|--:|--:|--:|
| 1m, 8×256 | 2555 | 0.70 | 1500 | ×2.00 (1.50–2.50) | – | – |

1m, 8×256: PyTorch, compiled is left out: refused: no compiler

### Whole training steps, 2 threads, peak memory in MiB (× Athanor's share of it)

| step | Athanor | PyTorch | PyTorch, compiled |
|---|--:|--:|--:|
| 1m, 8×256 | 64.0 | 128 (×0.50) | – |

### Training and encoding of tokenizers, 2 threads, MB/s

| bpe | Athanor | tokenizers | Athanor is | tiktoken | Athanor is |
|---|--:|--:|--:|--:|--:|
| train | 30.0 | 3.00 | ×10.00 (10.00–10.00) | – | – |
| encode | 80.0 | 4.00 | ×20.00 (20.00–20.00) | 10.0 | ×8.00 (8.00–8.00) |
`
	var out bytes.Buffer
	if err := reported.print(&out, options{markdown: true}); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
	out.Reset()
	if err := reported.print(&out, options{}); err != nil {
		t.Fatal(err)
	}
	if line := "  1m, 8×256     2555          0.70     1500  ×2.00 (1.50–2.50)"; !strings.Contains(out.String(), line) {
		t.Errorf("no line %q in:\n%s", line, out.String())
	}
}
