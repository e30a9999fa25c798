package extendcontext

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"athanor/steps"
)

// A stage is what a child has made.
type stage struct {
	Context         int     `json:"context"`
	Tokens          int64   `json:"tokens"`
	Loss            float64 `json:"loss"`
	BitsPerByte     float64 `json:"bits_per_byte"`
	ShortLoss       float64 `json:"short_loss"`
	ShortLossBefore float64 `json:"short_loss_before"`
	Needles         float64 `json:"needles"`
}

// run gathers what the stages have made.
func run(_ context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	children := rt.Spec().Children
	report, err := rt.Output("report")
	if err != nil {
		return err
	}
	var stages []stage
	total := int64(0)
	for i, child := range children {
		s := stage{Context: c.Stages[i].Context}
		if err := child.Decode(&s); err != nil {
			return fmt.Errorf("the stage %s: %w", child.Name, err)
		}
		total += s.Tokens
		stages = append(stages, s)
		for _, name := range drawings {
			svg, err := os.ReadFile(filepath.Join(child.Artifacts["report"].Path, name+".svg"))
			if err == nil {
				err = os.WriteFile(filepath.Join(report, s.drawing(name)), svg, 0o666)
			}
			if err != nil {
				return err
			}
		}
	}
	model, err := rt.Output("model")
	if err != nil {
		return err
	}
	if err := os.CopyFS(model, os.DirFS(children[len(children)-1].Artifacts["model"].Path)); err != nil {
		return fmt.Errorf("copying the model: %w", err)
	}
	last := stages[len(stages)-1]
	for name, v := range map[string]any{
		"context": last.Context, "loss": last.Loss, "bits_per_byte": last.BitsPerByte, "short_loss": last.ShortLoss,
		"short_loss_ratio": last.ShortLoss / last.ShortLossBefore, "needles": last.Needles, "tokens": total,
	} {
		rt.Set(name, v)
	}
	data, err := json.MarshalIndent(stages, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(report, "stages.json"), append(data, '\n'), 0o666); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(report, "summary.md"), summary(stages), 0o666)
}

// drawings are what the report takes over from the report of each stage.
var drawings = []string{"loss", "gate", "needles"}

func (s stage) drawing(name string) string { return fmt.Sprintf("%s_%d.svg", name, s.Context) }

// summary is the page for people.
func summary(stages []stage) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Context extension\n\nBefore the first stage the loss on short held-out text was %.4f nats per token.\n\n", stages[0].ShortLossBefore)
	fmt.Fprintf(&b, "| context | tokens trained on | held-out loss | bits per byte | loss on short text | ratio | needles found |\n|---|---|---|---|---|---|---|\n")
	for _, s := range stages {
		fmt.Fprintf(&b, "| %d | %d | %.4f | %.4f | %.4f | %.4f | %.1f %% |\n",
			s.Context, s.Tokens, s.Loss, s.BitsPerByte, s.ShortLoss, s.ShortLoss/s.ShortLossBefore, 100*s.Needles)
	}
	for _, s := range stages {
		fmt.Fprintf(&b, "\n## The stage of %d tokens\n", s.Context)
		for _, name := range drawings {
			fmt.Fprintf(&b, "\n![%s, %d tokens](%s)\n", name, s.Context, s.drawing(name))
		}
	}
	return []byte(b.String())
}
