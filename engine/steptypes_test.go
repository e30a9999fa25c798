package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"athanor/steps"
)

// testTypes are step types for the scripts. Each is small, and shows one thing that a step can do.
var testTypes = []steps.Type{writeType, joinType, countType, measureType, troubleType, gateType, fillType}

func writeOutput(rt *steps.Runtime, name, file, text string) error {
	dir, err := rt.Output(name)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666)
}

// write makes a dataset from its text and from files.

type writeConfig struct {
	Text  string   `json:"text" default:"\"\"" doc:"What to write."`
	Files []string `json:"files" hcl:"path" doc:"Files to add."`
	Trim  bool     `json:"trim" default:"false" doc:"Remove white space around the text."`
	Note  string   `json:"note" hcl:"free" default:"\"\"" doc:"Changes nothing."`
	Size  *int     `json:"size" doc:"The length that the text must have."`
	Spoil string   `json:"spoil" hcl:"free" default:"\"\"" doc:"A file to change while it works."`
}

// writeVersion lets a script play a newer engine.
func writeVersion() int {
	if v, err := strconv.Atoi(os.Getenv("TEST_WRITE_VERSION")); err == nil {
		return v
	}
	return 1
}

var writeType = steps.Type{
	Name: "write", Doc: "Writes a text.", Version: writeVersion(), Config: writeConfig{},
	Outputs: []steps.Output{
		{Name: "data", Type: "dataset", Doc: "The text."},
		{Name: "length", Type: "number", Doc: "Its length in bytes."},
		{Name: "words", Type: "list(string)", Doc: "Its words."},
	},
	Files: func(s *steps.Spec) ([]string, error) {
		var c writeConfig
		if err := s.Decode(&c); err != nil {
			return nil, err
		}
		var out []string
		for i, pattern := range c.Files {
			found, err := filepath.Glob(s.Resolve(pattern))
			if err != nil || len(found) == 0 {
				return nil, steps.Blame(fmt.Sprintf("files[%d]", i), "no file matches %q", pattern)
			}
			out = append(out, found...)
		}
		return out, nil
	},
	Check: func(s *steps.Spec) error {
		var c writeConfig
		if err := s.Decode(&c); err != nil {
			return err
		}
		if c.Size != nil && *c.Size != len(c.Text) {
			return steps.Blame("size", "the text has %d bytes, not %d", len(c.Text), *c.Size)
		}
		return nil
	},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		var c writeConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		text := c.Text
		for _, path := range rt.Spec().Files {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += string(data)
		}
		if c.Trim {
			text = strings.TrimSpace(text)
		}
		if c.Spoil != "" {
			if err := os.WriteFile(rt.Resolve(c.Spoil), []byte("spoilt"), 0o666); err != nil {
				return err
			}
		}
		rt.Set("length", len(text))
		rt.Set("words", strings.Fields(text))
		rt.Log("writing %d bytes", len(text))
		return writeOutput(rt, "data", "text.txt", text)
	},
}

// join puts datasets together.

type joinConfig struct {
	Parts []joinPart `json:"part" hcl:"block" min:"1" doc:"What to join."`
	Sep   string     `json:"sep" default:"\"\"" doc:"What stands between the parts."`
}

type joinPart struct {
	Name string         `json:"name" hcl:"label"`
	Data steps.Artifact `json:"data" kind:"dataset" doc:"A dataset."`
}

var joinType = steps.Type{
	Name: "join", Doc: "Joins datasets.", Version: 1, Config: joinConfig{},
	Outputs: []steps.Output{{Name: "data", Type: "dataset", Doc: "All of them."}},
	Check: func(s *steps.Spec) error {
		var c joinConfig
		if err := s.Decode(&c); err != nil {
			return err
		}
		if len(c.Sep) > 3 {
			return steps.Blame("sep", "%q is longer than 3 bytes", c.Sep)
		}
		return nil
	},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		var c joinConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		var texts []string
		for _, p := range c.Parts {
			data, err := os.ReadFile(filepath.Join(p.Data.Path, "text.txt"))
			if err != nil {
				return err
			}
			texts = append(texts, string(data))
		}
		return writeOutput(rt, "data", "text.txt", strings.Join(texts, c.Sep))
	},
}

// count is a training loop in miniature: a state that each step changes, checkpoints, figures.

type countConfig struct {
	To    int            `json:"to" min:"0" doc:"How far to count."`
	Data  steps.Artifact `json:"data" kind:"dataset" optional:"true" doc:"Where to start from."`
	Every int            `json:"checkpoint_every" hcl:"free" default:"10" doc:"Steps between checkpoints."`
	Delay string         `json:"delay" hcl:"free" default:"\"0s\"" doc:"Time that a step takes."`
}

type countState struct {
	At    int    `json:"at"`
	State uint64 `json:"state"`
}

var countType = steps.Type{
	Name: "count", Doc: "Counts, slowly.", Version: 1, Config: countConfig{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The trajectory."},
		{Name: "total", Type: "number", Doc: "The last number."},
	},
	Estimate: func(in *steps.EstimateInput) (steps.Estimate, error) {
		var c countConfig
		if err := in.Spec.Decode(&c); err != nil {
			return steps.Estimate{}, err
		}
		return steps.Estimate{Tokens: int64(c.To), FLOPs: 1e6 * float64(c.To)}, nil
	},
	Run: runCount,
}

func runCount(ctx context.Context, rt *steps.Runtime) error {
	var c countConfig
	if err := rt.Config(&c); err != nil {
		return err
	}
	delay, err := time.ParseDuration(c.Delay)
	if err != nil {
		return steps.Blame("delay", "%v", err)
	}
	s := countState{State: rt.Seed()}
	save := func(dir string) error {
		data, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, "state.json"), data, 0o666)
	}
	resumed, err := rt.Restore(func(dir string) error {
		data, err := os.ReadFile(filepath.Join(dir, "state.json"))
		if err != nil {
			return err
		}
		return json.Unmarshal(data, &s)
	})
	if err != nil {
		return err
	}
	if resumed {
		rt.Log("goes on from %d", s.At)
	}
	if err := rt.Curves([]steps.Curves{{File: "loss.svg", Title: "Loss", X: "step", XLabel: "steps", YLabel: "loss", Lines: []string{"loss"}}}); err != nil {
		return err
	}
	first := s.At
	for s.At < c.To {
		select {
		case <-ctx.Done():
			if err := rt.Checkpoint(save); err != nil {
				return err
			}
			return ctx.Err()
		case <-time.After(delay):
		}
		s.At++
		s.State = s.State*6364136223846793005 + 1442695040888963407
		if err := rt.Metric(int64(s.At), map[string]float64{"loss": float64(s.State>>40) / (1 << 24)}); err != nil {
			return err
		}
		rt.Progress(steps.Event{Done: float64(s.At), Total: float64(c.To), Unit: "tokens", Rate: 10, FLOPs: 1e6 * float64(s.At-first)})
		if s.At%c.Every == 0 {
			if err := rt.Checkpoint(save); err != nil {
				return err
			}
		}
	}
	rt.Set("total", s.At)
	figures, err := os.ReadFile(rt.MetricsFile())
	if err != nil {
		return err
	}
	return writeOutput(rt, "model", "trajectory.jsonl", string(figures)+strconv.FormatUint(s.State, 10)+"\n")
}

// measure looks at a model. It hands the model on, as an evaluation does.

type measureConfig struct {
	Model steps.Artifact `json:"model" kind:"model" doc:"What to measure."`
	Scale float64        `json:"scale" default:"1" doc:"A factor."`
	Depth int            `json:"depth" default:"1" min:"0" max:"64" doc:"A number that is checked."`
}

var measureType = steps.Type{
	Name: "measure", Doc: "Measures a model.", Version: 1, Config: measureConfig{},
	Outputs: []steps.Output{
		{Name: "report", Type: "report", Doc: "What was found."},
		{Name: "score", Type: "number", Doc: "Lines of the trajectory, scaled."},
		{Name: "parts", Type: "map(number)", Doc: "Bytes and lines."},
	},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		var c measureConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(c.Model.Path, "trajectory.jsonl"))
		if err != nil {
			return err
		}
		lines := float64(strings.Count(string(data), "\n"))
		rt.Set("score", lines*c.Scale)
		rt.Set("parts", map[string]float64{"lines": lines, "bytes": float64(len(data))})
		return writeOutput(rt, "report", "summary.md", fmt.Sprintf("# A measurement\n\nscore %g\n", lines*c.Scale))
	},
}

// trouble fails in the way that it is told to.

type troubleConfig struct {
	How   string         `json:"how" one_of:"error,blame,panic,kill,silent,nan,print,stubborn,meet,none" doc:"What goes wrong."`
	Times int            `json:"times" hcl:"free" default:"1000" doc:"How many attempts go wrong."`
	Data  steps.Artifact `json:"data" kind:"dataset" optional:"true" doc:"Ignored."`
	Text  string         `json:"text" default:"\"\"" doc:"meet: the mark to leave and the mark to wait for."`
}

var troubleType = steps.Type{
	Name: "trouble", Doc: "Goes wrong.", Version: 1, Config: troubleConfig{},
	Outputs: []steps.Output{{Name: "value", Type: "number", Doc: "1, in the end."}},
	Run: func(ctx context.Context, rt *steps.Runtime) error {
		var c troubleConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		attempt := 0
		if _, err := rt.Restore(func(dir string) error {
			data, err := os.ReadFile(filepath.Join(dir, "attempt"))
			if err == nil {
				attempt, err = strconv.Atoi(string(data))
			}
			return err
		}); err != nil {
			return err
		}
		attempt++
		if err := rt.Checkpoint(func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "attempt"), []byte(strconv.Itoa(attempt)), 0o666)
		}); err != nil {
			return err
		}
		rt.Set("value", 1)
		if attempt > c.Times {
			return nil
		}
		return goWrong(ctx, rt, c.How, c.Text, attempt)
	},
}

func goWrong(ctx context.Context, rt *steps.Runtime, how, text string, attempt int) error {
	switch how {
	case "error":
		return fmt.Errorf("attempt %d: %w", attempt, errors.New("the teapot is empty"))
	case "blame":
		return steps.Blame("text", "attempt %d: the text is bad", attempt)
	case "panic":
		panic("the teapot has burst")
	case "kill":
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "silent":
		os.Exit(7)
	case "nan":
		rt.Set("value", math.NaN())
	case "print":
		fmt.Println("a library says hello")
		rt.Warn("this is only a warning")
	case "stubborn":
		<-ctx.Done()
		if err := os.WriteFile(filepath.Join(rt.Spec().WorkDir, "asked"), nil, 0o666); err != nil {
			return err
		}
		select {}
	case "meet":
		return meet(ctx, rt, text)
	}
	return nil
}

// meet leaves a mark and waits for that of another step, which must run at the same time.
func meet(ctx context.Context, rt *steps.Runtime, marks string) error {
	mine, other, _ := strings.Cut(marks, " ")
	if err := os.WriteFile(rt.Resolve(mine), nil, 0o666); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(rt.Resolve(other)); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// gate does its work and finds that a condition does not hold.

type gateConfig struct {
	Want float64 `json:"want" doc:"The loss to reach."`
}

var gateType = steps.Type{
	Name: "gate", Doc: "Has a condition.", Version: 1, Config: gateConfig{},
	Outputs: []steps.Output{{Name: "loss", Type: "number", Doc: "Always 3.5."}},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		var c gateConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		rt.Set("loss", 3.5)
		if c.Want < 3.5 {
			dir, err := rt.Unfinished()
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, "summary.md"), []byte("# A gate\n\nIt has measured 3.5 & <more>.\n"), 0o666)
			}
			if err != nil {
				return err
			}
			return &steps.GateError{Path: "want", Message: fmt.Sprintf("the loss is 3.5 and %g was wanted", c.Want)}
		}
		return nil
	},
}

// fill writes many bytes.

type fillConfig struct {
	MiB        int `json:"mib" doc:"How many."`
	Checkpoint int `json:"checkpoint_mib" hcl:"free" default:"0" doc:"Size of a checkpoint that is saved first."`
}

var fillType = steps.Type{
	Name: "fill", Doc: "Fills the disk.", Version: 1, Config: fillConfig{},
	Outputs: []steps.Output{{Name: "model", Type: "model", Doc: "Bytes."}},
	Run: func(_ context.Context, rt *steps.Runtime) error {
		var c fillConfig
		if err := rt.Config(&c); err != nil {
			return err
		}
		if c.Checkpoint > 0 {
			if err := rt.Checkpoint(func(dir string) error { return fill(filepath.Join(dir, "state"), c.Checkpoint) }); err != nil {
				return err
			}
		}
		dir, err := rt.Output("model")
		if err != nil {
			return err
		}
		return fill(filepath.Join(dir, "bytes"), c.MiB)
	},
}

func fill(path string, mib int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for i := range mib {
		block[0] = byte(i)
		if _, err := f.Write(block); err != nil {
			_ = f.Close()
			return err
		}
	}
	return f.Close()
}
