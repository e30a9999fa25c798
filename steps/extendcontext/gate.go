package extendcontext

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/pretraining"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// A gate is the condition on which a stage ends, as the Llama 3 paper states it: the model is as good as before on short
// texts, and it finds the needles up to the new length. It implements pretraining.Gate.
type gate struct {
	rt     *steps.Runtime
	config *stageConfig
	short  int // the context before the first stage
	before float64
	docs   []train.Document // of up to the short context
	test   *needle.Test

	checks []look
}

// A look is what one check of the model has come to.
type look struct {
	Tokens    int64          `json:"tokens"`
	ShortLoss float64        `json:"short_loss"`
	ValueLoss float64        `json:"value_loss"` // see needle.Test.ValueLoss
	Needles   *needle.Result `json:"needles"`
}

// newGate chooses the texts, and measures the loss before the first stage.
func newGate(ctx context.Context, rt *steps.Runtime, c *stageConfig, short int) (*gate, error) {
	set, err := tokens.Open(c.HeldOut.Path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = set.Close() }() // it was only read
	tokenizer, err := bpe.Load(set.TokenizerDir())
	if err != nil {
		return nil, fmt.Errorf("the tokenizer of the data: %w", err)
	}
	g := &gate{rt: rt, config: c, short: short}
	if g.docs, err = pretraining.HeldOut(set, c.Gate.EvalTokens, short, tokenizer); err != nil {
		return nil, err
	}
	if len(g.docs) == 0 {
		return nil, steps.Blame("data", "the data has no held-out documents, and the gate is about them: set holdout in its datasets")
	}
	hay, err := pretraining.Haystack(set, tokenizer)
	if err != nil {
		return nil, err
	}
	if g.test, err = needle.New(hay, c.Gate.Grid, c.Context, rt.Seed()); err != nil {
		return nil, steps.Within("gate.grid", err)
	}
	if advice := g.test.Advice(); advice != "" {
		rt.Warn("%s", advice)
	}
	return g, g.measureBefore(ctx)
}

// measureBefore has the model of before the first stage read the short documents. It is cheap, and every stage does it
// anew, so that a stage's key says all that it depends on.
func (g *gate) measureBefore(ctx context.Context) error {
	dev, err := g.rt.Device()
	if err != nil {
		return err
	}
	m, err := llm.Load(dev, g.config.Original.Path)
	if err != nil {
		return err
	}
	defer m.Close()
	if err := g.config.Numerics.Apply(m); err != nil { // like is compared with like
		return err
	}
	micro := max(g.short, scoreTokens)
	if err := m.Inference(micro); err != nil {
		return err
	}
	if g.before, err = g.shortLoss(ctx, m, micro); err != nil {
		return fmt.Errorf("the model before the first stage: %w", err)
	}
	g.rt.Log("before the first stage: loss %.4f at a context of %d", g.before, g.short)
	return nil
}

// scoreTokens is the most tokens of one forward pass where the context is shorter.
const scoreTokens = 2048

// shortLoss is the held-out loss at the context before the first stage.
func (g *gate) shortLoss(ctx context.Context, m *llm.Model, micro int) (float64, error) {
	scorer := train.Scorer{Model: m, Context: g.short, Micro: micro}
	score, err := scorer.Score(ctx, each(g.docs))
	if err == nil && score.Tokens == 0 {
		return 0, steps.Blame("data", "the held-out documents have no token to predict: set holdout in the datasets of data")
	}
	return score.Loss(), err
}

func each(documents []train.Document) iter.Seq2[train.Document, error] {
	return func(yield func(train.Document, error) bool) {
		for _, d := range documents {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// shownMisses is how many needles that were not found a check shows in the log.
const shownMisses = 3

// Check implements pretraining.Gate.
func (g *gate) Check(ctx context.Context, m *llm.Model, tokens int64) (map[string]float64, error) {
	// The model has room for a micro-batch, which is at least the stage's context and so longer than the short one.
	loss, err := g.shortLoss(ctx, m, g.config.Context)
	if err != nil {
		return nil, err
	}
	found, err := g.test.Run(ctx, m, nil)
	if err != nil {
		return nil, err
	}
	values, err := g.test.ValueLoss(ctx, m)
	if err != nil {
		return nil, err
	}
	now := look{Tokens: tokens, ShortLoss: loss, ValueLoss: values, Needles: found}
	g.checks = append(g.checks, now)
	verdict := "goes on"
	if g.Holds() {
		verdict = "passed"
	}
	g.rt.Log("gate after %d tokens: %s: %s", tokens, verdict, g.figures())
	for _, line := range found.Lines() {
		g.rt.Log("needles found: %s", line)
	}
	for i, a := range found.Missed() {
		if i == shownMisses {
			break
		}
		g.rt.Log("not found: %s", &a)
	}
	return map[string]float64{"short_loss": loss, "short_loss_ratio": loss / g.before, "needles": found.Share(), "value_loss": values}, nil
}

// last is the newest check.
func (g *gate) last() look { return g.checks[len(g.checks)-1] }

// recovered and solved are the two conditions.
func (g *gate) recovered() bool { return g.last().ShortLoss <= g.config.Gate.ShortLossRatio*g.before }
func (g *gate) solved() bool    { return g.last().Needles.Share() >= g.config.Gate.Needle }

// Holds implements pretraining.Gate.
func (g *gate) Holds() bool { return len(g.checks) > 0 && g.recovered() && g.solved() }

// figures states both figures with what is wanted of them.
func (g *gate) figures() string {
	found, of := g.last().Needles.Counts()
	return fmt.Sprintf("the loss at %d tokens is %.4f, %.4f times the %.4f before the first stage (wanted: at most %g times); %d of %d needles up to %d tokens are found, %.1f %% (wanted: %g %%), and their values have a loss of %.4f",
		g.short, g.last().ShortLoss, g.last().ShortLoss/g.before, g.before, g.config.Gate.ShortLossRatio,
		found, of, g.config.Context, 100*g.last().Needles.Share(), 100*g.config.Gate.Needle, g.last().ValueLoss)
}

// Failed implements pretraining.Gate.
func (g *gate) Failed() error {
	return &steps.GateError{Path: "max_tokens", Message: fmt.Sprintf(
		"the stage has not passed its gate within %d tokens: %s.\n\n  Needles found:\n    %s\n\nThe checkpoint is kept: raise max_tokens and run again to go on from it",
		g.last().Tokens, g.figures(), strings.Join(g.last().Needles.Lines(), "\n    "))}
}

// State implements pretraining.Gate.
func (g *gate) State() ([]byte, error) { return json.Marshal(g.checks) }

// Restore implements pretraining.Gate.
func (g *gate) Restore(state []byte) error {
	g.checks = nil
	return json.Unmarshal(state, &g.checks)
}

// Report implements pretraining.Gate.
func (g *gate) Report() (string, map[string][]byte) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## The gate\n\n")
	fmt.Fprintf(&b, "Wanted: a loss at %d tokens of at most %g times the %.4f before the first stage, and %g %% of the needles.\n\n",
		g.short, g.config.Gate.ShortLossRatio, g.before, 100*g.config.Gate.Needle)
	fmt.Fprintf(&b, "The values of needles are what has to be found; their loss, in nats per token, falls before the first is.\n\n")
	fmt.Fprintf(&b, "| tokens trained on | loss at %d tokens | ratio | loss of the values | needles found |\n|---|---|---|---|---|\n", g.short)
	for _, c := range g.checks {
		found, of := c.Needles.Counts()
		fmt.Fprintf(&b, "| %d | %.4f | %.4f | %.4f | %d of %d |\n", c.Tokens, c.ShortLoss, c.ShortLoss/g.before, c.ValueLoss, found, of)
	}
	fmt.Fprintf(&b, "\n## Needles found at the end\n\n%s\n![needles](needles.svg)\n", g.last().Needles.Markdown())
	svg := g.last().Needles.HeatMap(fmt.Sprintf("Needles found, context %d", g.config.Context)).SVG()
	return b.String(), map[string][]byte{"needles.svg": svg}
}
