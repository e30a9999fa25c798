package evaluate

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"athanor/steps"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train/traintest"
)

// attempt runs the step once, as a worker would, and returns its folder of outputs and its last event.
func attempt(t *testing.T, ctx context.Context, c *Config) (string, []steps.Event, error) {
	t.Helper()
	if c.Baselines == nil {
		c.Baselines = []string{}
	}
	if c.Name == "" {
		c.Name = "model"
	}
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	dir, out := t.TempDir(), &bytes.Buffer{}
	rt, err := steps.NewRuntime(&steps.Spec{Config: config, Seed: 7, WorkDir: dir, Device: "cpu", Threads: 2}, out)
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	err = rt.Do(ctx, &Type)
	var events []steps.Event
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var e steps.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return filepath.Join(dir, "out", "report"), events, err
}

func ptr[T any](v T) *T { return &v }

func figures(t *testing.T, events []steps.Event, name string) map[string]float64 {
	t.Helper()
	v, ok := events[len(events)-1].Values[name].(map[string]any)
	if !ok {
		t.Fatalf("the last event is %+v", events[len(events)-1])
	}
	m := map[string]float64{}
	for k, x := range v {
		m[k] = x.(float64)
	}
	return m
}

func TestRun(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	model := traintest.Model(t, tokenizer, traintest.Config(320))
	heldOut := traintest.Texts(30, 2)
	c := &Config{
		Model:     model,
		Data:      traintest.Tokens(t, tokenizer, traintest.Part{Name: "part", Weight: 1, Train: traintest.Texts(3, 1), Holdout: heldOut}),
		Datasets:  []Dataset{{Name: "set", Data: traintest.Dataset(t, traintest.Texts(3, 1), heldOut), Split: "holdout"}},
		Context:   ptr(64),
		Baselines: []string{"gzip", "xz"},
		Sample:    &sampling.Config{Prompts: []string{"The old", "The ``` crow"}, Tokens: 5, Temperature: 1},
	}
	dir, events, err := attempt(t, context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	loss, bits, zipped := figures(t, events, "loss"), figures(t, events, "bits_per_byte"), figures(t, events, "gzip")
	if len(loss) != 2 || loss["set"] != loss["part"] || bits["set"] != bits["part"] || zipped["set"] != zipped["part"] {
		t.Errorf("the same text gives loss %v, bits %v, gzip %v", loss, bits, zipped)
	}
	if math.Abs(loss["set"]-math.Log(320)) > 0.2 {
		t.Errorf("an untrained model has the loss %g, guessing costs %g", loss["set"], math.Log(320))
	}
	text, tokens := strings.Join(heldOut, ""), 0
	for _, d := range heldOut {
		tokens += len(traintest.Encode(tokenizer, d)) - 1
	}
	if want := loss["set"] * float64(tokens) / math.Ln2 / float64(len(text)); math.Abs(bits["set"]-want) > 1e-9 {
		t.Errorf("%g bits per byte, want %g", bits["set"], want)
	}
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, 9)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	if want := 8 * float64(b.Len()) / float64(len(text)); zipped["set"] != want {
		t.Errorf("gzip: %g bits per byte, want %g", zipped["set"], want)
	}
	summary, err := os.ReadFile(filepath.Join(dir, "summary.md"))
	if err != nil || !strings.Contains(string(summary), "gzip -9") || !strings.Contains(string(summary), "````\nThe ``` crow") {
		t.Errorf("%v\n%s", err, summary)
	}
	var outcomes []outcome
	data, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err := errors.Join(err, json.Unmarshal(data, &outcomes)); err != nil || len(outcomes) != 1 || len(outcomes[0].Texts) != 2 || outcomes[0].Texts[0].Tokens != int64(tokens) {
		t.Errorf("%v: %s", err, data)
	}
	samples, err := os.ReadFile(filepath.Join(dir, "samples.jsonl"))
	if err != nil || bytes.Count(samples, []byte("\n")) != 2 {
		t.Errorf("%v: %s", err, samples)
	}
}

func TestXZIsTheProgram(t *testing.T) {
	program, err := exec.LookPath("xz")
	if err != nil {
		t.Skip("this machine has no program xz")
	}
	t.Setenv("XZ_OPT", "-0") // must not weaken the baseline
	text := []byte(strings.Join(traintest.Texts(300, 5), ""))
	c, err := openXZ(context.Background(), program)
	if err != nil {
		t.Fatal(err)
	}
	for part := range slices.Chunk(text, 1000) {
		if _, err := c.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.Finish()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-9e", "-c")
	cmd.Env, cmd.Stdin = []string{}, bytes.NewReader(text)
	want, err := cmd.Output()
	if err != nil || got != int64(len(want)) {
		t.Errorf("%d bytes, the program gives %d: %v", got, len(want), err)
	}
}

func TestWithoutXZ(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	tokenizer := traintest.Tokenizer(t)
	_, events, err := attempt(t, context.Background(), &Config{
		Model:     traintest.Model(t, tokenizer, traintest.Config(320)),
		Datasets:  []Dataset{{Name: "set", Data: traintest.Dataset(t, nil, traintest.Texts(2, 2)), Split: "holdout"}},
		Baselines: []string{"xz"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(figures(t, events, "xz")) != 0 || events[0].Kind != steps.EventWarn || !strings.Contains(events[0].Message, "xz") {
		t.Errorf("%+v", events)
	}
}

func TestLimitedReadsTheSameTextAsFarAsTold(t *testing.T) {
	texts := append(traintest.Texts(100, 3), strings.Repeat("žluťoučký kůň 🐎 ", 2000))
	total := int64(0)
	for _, d := range texts {
		total += int64(len(d))
	}
	source := text{bytes: total, documents: func(yield func(string, error) bool) {
		for _, d := range texts {
			if !yield(d, nil) {
				return
			}
		}
	}}
	read := func(most *int64) (all []string, bytes int64) {
		for d, err := range source.limited(most) {
			if err != nil {
				t.Fatal(err)
			}
			if !utf8.ValidString(d) {
				t.Errorf("a document is cut within a character: %q", d[max(0, len(d)-10):])
			}
			all = append(all, d)
			bytes += int64(len(d))
		}
		return all, bytes
	}
	if all, n := read(nil); n != total || len(all) != len(texts) {
		t.Errorf("%d bytes of %d without a limit", n, total)
	}
	for _, most := range []int64{500, 5000, 20000} {
		all, n := read(&most)
		again, _ := read(&most)
		if n > most || n < most/2 || !slices.Equal(all, again) {
			t.Errorf("%d bytes where %d were asked for", n, most)
		}
	}
}

func TestErrors(t *testing.T) {
	tokenizer := traintest.Tokenizer(t)
	model := traintest.Model(t, tokenizer, traintest.Config(320))
	judge := traintest.Config(320)
	judge.Score = true
	held := []Dataset{{Name: "set", Data: traintest.Dataset(t, traintest.Texts(2, 1), traintest.Texts(2, 2)), Split: "holdout"}}
	for _, tc := range []struct {
		name string
		c    Config
		path string
	}{
		{"a model without a tokenizer", Config{Model: traintest.Model(t, nil, traintest.Config(320)), Datasets: held}, "model"},
		{"a tokenizer too large for its model", Config{Model: traintest.Model(t, tokenizer, traintest.Config(300)), Datasets: held}, "model"},
		{"a reward model", Config{Model: model, Others: []Other{{Name: "judge", Model: traintest.Model(t, tokenizer, judge)}}, Datasets: held}, "compare[0].model"},
		{"a dataset without a holdout", Config{Model: model, Datasets: []Dataset{{Name: "x", Data: traintest.Dataset(t, traintest.Texts(2, 1), nil), Split: "holdout"}}}, "dataset[0].data"},
		{"a mixture without a holdout", Config{Model: model, Data: traintest.Tokens(t, tokenizer, traintest.Part{Name: "a", Weight: 1, Train: traintest.Texts(2, 1)})}, "data"},
		{"a part called as a dataset", Config{Model: model, Datasets: held, Data: traintest.Tokens(t, tokenizer, traintest.Part{Name: "set", Weight: 1, Train: traintest.Texts(2, 1), Holdout: traintest.Texts(2, 2)})}, "data"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, events, err := attempt(t, context.Background(), &tc.c)
			if last := events[len(events)-1]; err == nil || last.Kind != steps.EventFailed || last.Path != tc.path {
				t.Errorf("%v: %+v", err, last)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, events, err := attempt(t, ctx, &Config{Model: model, Datasets: held, Baselines: []string{"gzip", "xz"}})
	if !errors.Is(err, context.Canceled) || events[len(events)-1].Kind != steps.EventStopped {
		t.Errorf("stopped: %v", err)
	}
}

func TestCheck(t *testing.T) {
	data := steps.Artifact{Kind: "dataset", Digest: "d"}
	for _, tc := range []struct {
		name, path string
		c          Config
	}{
		{"nothing to do", "dataset", Config{}},
		{"samples alone", "", Config{Sample: &sampling.Config{Prompts: []string{""}}}},
		{"two of a name", "dataset[1]", Config{Datasets: []Dataset{{Name: "a", Data: data}, {Name: "a", Data: data}}}},
	} {
		config, err := json.Marshal(tc.c)
		if err != nil {
			t.Fatal(err)
		}
		err = Type.Check(&steps.Spec{Config: config})
		var blame *steps.AttributeError
		if errors.As(err, &blame); tc.path == "" && err != nil || tc.path != "" && (blame == nil || blame.Path != tc.path) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// blamed is the attribute that an error blames; "" for no error.
func blamed(err error) string {
	var blame *steps.AttributeError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &blame):
		return blame.Path
	}
	return err.Error()
}
