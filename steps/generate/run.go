package generate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
)

// A generation is one run of the step.
type generation struct {
	config  Config
	runtime *steps.Runtime
	base    *finetune.Base
	prompts []finetune.Prompt // of both splits, those held back last
	train   int               // how many are not held back
	counts  map[string]*finetune.Counts
	model   *llm.Model
	judge   *reward.Judge

	answers []answer // so far, as many as config.Answers for each prompt in turn
}

// An answer is one of a prompt's; it is part of a checkpoint.
type answer struct {
	Text   string  `json:"text"`
	Tokens int     `json:"tokens"`
	Ended  bool    `json:"ended"`
	Score  float64 `json:"score"`
}

// at once are the prompts whose answers are sampled together. Which they are does not depend on interruptions.
const atOnce = 32

func run(ctx context.Context, rt *steps.Runtime) error {
	g := &generation{runtime: rt, counts: map[string]*finetune.Counts{}}
	if err := rt.Config(&g.config); err != nil {
		return err
	}
	if err := g.open(ctx); err != nil {
		return err
	}
	dev, err := rt.Device()
	if err != nil {
		return err
	}
	if g.model, err = llm.Load(dev, g.base.Dir); err != nil {
		return blame(err)
	}
	defer g.model.Close()
	if _, err := rt.Restore(g.restore); err != nil {
		return err
	}
	if err := g.generate(ctx); err != nil {
		return blame(err)
	}
	return g.finish()
}

// open reads all but the model's weights.
func (g *generation) open(ctx context.Context) error {
	c := &g.config
	var err error
	if g.base, err = finetune.Open(g.runtime, c.Model, nil, c.Context); err != nil {
		return err
	}
	longest := 0
	for _, split := range []string{corpus.Train, corpus.Holdout} {
		all, counts, err := g.base.Prompts(ctx, g.runtime, c.Data, split, c.System, c.Sampling.Tokens)
		if err != nil {
			return err
		}
		if split == corpus.Train {
			if err := counts.Report(g.runtime, "answered"); err != nil {
				return err
			}
		}
		g.counts[split] = &counts
		most := len(all)
		if c.Prompts != nil {
			most = *c.Prompts
		}
		for _, i := range finetune.Evenly(len(all), most) {
			longest = max(longest, len(all[i].IDs)+c.Sampling.Tokens)
			g.prompts = append(g.prompts, all[i])
		}
		if split == corpus.Train {
			g.train = len(g.prompts)
		}
	}
	g.judge, err = reward.Open(g.runtime, c.Config, g.base, longest)
	return err
}

func blame(err error) error {
	switch {
	case errors.Is(err, llm.ErrScore):
		return steps.Blame("model", "%w. Take the model of an sft step", err)
	case errors.Is(err, gpu.ErrOutOfMemory):
		return steps.Blame("sampling.tokens", "%w. Lower sampling.tokens or context, or take a smaller model", err)
	}
	return err
}

// generate answers all prompts, from the last checkpoint on.
func (g *generation) generate(ctx context.Context) error {
	defer g.judge.Close()
	saved, unsaved := time.Now(), false
	every := time.Duration(g.config.CheckpointEvery * float64(time.Second))
	for {
		stop := ctx.Err()
		if unsaved && (stop != nil || time.Since(saved) >= every) {
			if err := g.runtime.Checkpoint(g.save); err != nil {
				return errors.Join(stop, err)
			}
			saved, unsaved = time.Now(), false
		}
		if stop != nil {
			return stop
		}
		first := len(g.answers) / g.config.Answers
		if first == len(g.prompts) {
			return nil
		}
		some, err := g.draw(ctx, first, min(first+atOnce, len(g.prompts)))
		if err != nil {
			if ctx.Err() != nil {
				continue
			}
			return err
		}
		g.answers, unsaved = append(g.answers, some...), true
		g.runtime.Progress(steps.Event{Done: float64(len(g.answers)), Total: float64(len(g.prompts) * g.config.Answers), Unit: "answers"})
	}
}

// draw answers the prompts [first, last).
func (g *generation) draw(ctx context.Context, first, last int) ([]answer, error) {
	c := &g.config
	var prompts []finetune.Prompt
	for i := first; i < last; i++ {
		prompts = append(prompts, slices.Repeat(g.prompts[i:i+1], c.Answers)...)
	}
	drawn, err := g.base.Draw(ctx, g.model, prompts, llm.Sampling{
		MaxTokens: c.Sampling.Tokens, Temperature: c.Sampling.Temperature, TopK: c.Sampling.TopK, TopP: c.Sampling.TopP,
		Seed: rand.New(rand.NewPCG(g.runtime.Seed(), uint64(first))).Uint64(),
	})
	if err != nil {
		return nil, err
	}
	judged := make([]reward.Answer, len(drawn))
	for i := range drawn {
		judged[i] = reward.Answer{Answer: drawn[i], Prompt: &prompts[i]}
	}
	scores, err := g.judge.Score(ctx, judged)
	if err != nil {
		return nil, err
	}
	out := make([]answer, len(drawn))
	for i, a := range drawn {
		out[i] = answer{Text: a.Text, Tokens: len(a.IDs), Ended: a.Ended, Score: scores[i].Total}
	}
	return out, nil
}

const answersName = "answers.json"

func (g *generation) save(dir string) error {
	data, err := json.Marshal(g.answers)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, answersName), data, 0o666)
}

func (g *generation) restore(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, answersName))
	if err != nil {
		return err
	}
	g.answers = nil
	if err := json.Unmarshal(data, &g.answers); err != nil {
		return fmt.Errorf("%s: %w", answersName, err)
	}
	g.runtime.Log("resuming after %d answers", len(g.answers))
	return nil
}
