package preferences

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/reward"
)

// A pairing is one run of the step.
type pairing struct {
	config  Config
	runtime *steps.Runtime
	prompts []prompt
	dropped map[string]float64 // by reason, those of the judge aside
	judged  judged

	base   *finetune.Base // of the reward model; nil without one
	ending []int32
	judge  *reward.Judge
}

// judged is what the judge has said so far; it is a checkpoint.
type judged struct {
	Scores   []*float64         `json:"scores"` // of the answers in their order; nil: it cannot be judged
	Dropped  map[string]float64 `json:"dropped"`
	Examples []string           `json:"examples"` // of those that cannot
}

func run(ctx context.Context, rt *steps.Runtime) error {
	p := &pairing{runtime: rt, dropped: map[string]float64{}, judged: judged{Dropped: map[string]float64{}}}
	if err := rt.Config(&p.config); err != nil {
		return err
	}
	for _, reason := range slices.Concat([]string{duplicate, single, tie, narrow, more}, finetune.DropKinds) {
		p.dropped[reason] = 0
	}
	delete(p.dropped, finetune.Equal) // that is a duplicate here
	if err := p.gather(ctx); err != nil {
		return err
	}
	if !p.config.Config.IsZero() {
		if err := p.refer(); err != nil {
			return err
		}
		if err := p.score(ctx); err != nil {
			return err
		}
	}
	var pairs []pair
	for i := range p.prompts {
		pairs = append(pairs, p.pair(&p.prompts[i])...)
	}
	if len(pairs) == 0 {
		return steps.Blame("answers[0].data", "none of the %d prompts has a pair: %s. Draw more and more varied answers (answers and sampling.temperature of generate), or lower min_margin", len(p.prompts), p.describe())
	}
	if err := p.write(pairs); err != nil {
		return err
	}
	return p.report(pairs)
}

// chunk is how many answers are judged at a time.
const chunk = 64

// score judges all answers, from the last checkpoint on.
func (p *pairing) score(ctx context.Context) error {
	if err := p.open(); err != nil {
		return err
	}
	defer p.judge.Close()
	if _, err := p.runtime.Restore(p.restore); err != nil {
		return err
	}
	var all []*candidate
	var of []*prompt
	for i := range p.prompts {
		for j := range p.prompts[i].answers {
			all, of = append(all, &p.prompts[i].answers[j]), append(of, &p.prompts[i])
		}
	}
	saved, unsaved := time.Now(), false
	every := time.Duration(p.config.CheckpointEvery * float64(time.Second))
	for {
		stop := ctx.Err()
		if unsaved && (stop != nil || time.Since(saved) >= every) {
			if err := p.runtime.Checkpoint(p.save); err != nil {
				return errors.Join(stop, err)
			}
			saved, unsaved = time.Now(), false
		}
		if stop != nil {
			return stop
		}
		first := len(p.judged.Scores)
		if first == len(all) {
			break
		}
		last := min(first+chunk, len(all))
		if err := p.scoreSome(ctx, all[first:last], of[first:last]); err != nil {
			if ctx.Err() != nil {
				continue
			}
			return err
		}
		unsaved = true
		p.runtime.Progress(steps.Event{Done: float64(last), Total: float64(len(all)), Unit: "answers"})
	}
	for i, s := range p.judged.Scores {
		if all[i].dropped = s == nil; s != nil {
			all[i].score = *s
		}
	}
	for reason, n := range p.judged.Dropped {
		p.dropped[reason] += n
	}
	if len(p.judged.Examples) > 0 {
		p.runtime.Warn("answers cannot be judged: %s. %s", p.describe(), p.judged.Examples[0])
	}
	return nil
}

// open opens the judge. A reward model reads dialogues with its own tokenizer and chat template.
func (p *pairing) open() error {
	c, longest := &p.config, 0
	var err error
	if !c.Reward.IsZero() {
		p.base, err = finetune.Open(p.runtime, c.Reward, nil, c.Context)
		if attr := (*steps.AttributeError)(nil); errors.As(err, &attr) && attr.Path == "model" {
			return &steps.AttributeError{Path: "reward", Err: attr.Err}
		}
		if err != nil {
			return err
		}
		if p.ending, err = p.base.Format.Ending(); err != nil {
			return err
		}
		longest = p.base.Context
	}
	p.judge, err = reward.Open(p.runtime, c.Config, p.base, longest)
	return blame(err)
}

func blame(err error) error {
	if errors.Is(err, gpu.ErrOutOfMemory) {
		return steps.Blame("reward", "%w. Set context lower, or take a smaller reward model", err)
	}
	return err
}

// scoreSome judges some answers, each to a prompt.
func (p *pairing) scoreSome(ctx context.Context, answers []*candidate, to []*prompt) error {
	var asked []reward.Answer
	scores := make([]*float64, len(answers))
	var which []int
	var problems []*chat.Problem
	for i, a := range answers {
		ids, err := p.encode(to[i].messages, a.text)
		if problem := (*chat.Problem)(nil); errors.As(err, &problem) {
			problems = append(problems, problem)
			continue
		}
		if err != nil {
			return steps.Blame("reward", "%w", err)
		}
		asked = append(asked, reward.Answer{
			Answer: finetune.Answer{Text: a.text}, Prompt: &finetune.Prompt{Messages: to[i].messages, IDs: ids, Reference: a.reference},
		})
		which = append(which, i)
	}
	verdicts, err := p.judge.Score(ctx, asked)
	if err != nil {
		return err
	}
	for i, v := range verdicts {
		scores[which[i]] = &v.Total
	}
	p.judged.Scores = append(p.judged.Scores, scores...)
	for _, problem := range problems {
		p.judged.Dropped[problem.Kind]++
		if len(p.judged.Examples) == 0 {
			p.judged.Examples = append(p.judged.Examples, "The first: "+problem.Detail)
		}
	}
	return nil
}

// encode is the dialogue with its answer as the reward model was trained to read it, up to the ending that the judge puts
// there; nothing without a reward model.
func (p *pairing) encode(messages []chat.Message, text string) ([]int32, error) {
	if p.base == nil {
		return nil, nil
	}
	c, cut, err := p.base.Format.Fit(append(slices.Clone(messages), chat.Message{Role: chat.Assistant, Content: text}), p.base.Context)
	if err != nil {
		return nil, err
	}
	if cut {
		return nil, &chat.Problem{Kind: chat.TooLong, Detail: fmt.Sprintf("the answer ends beyond the context of %d tokens", p.base.Context)}
	}
	return c.IDs[:len(c.IDs)-len(p.ending)], nil
}

// write writes the dataset: pairs to train on, then those held back.
func (p *pairing) write(pairs []pair) error {
	dir, err := p.runtime.Output("data")
	if err != nil {
		return err
	}
	w := corpus.CreateJudged(dir)
	defer w.Abort()
	for _, split := range []string{corpus.Train, corpus.Holdout} {
		for _, one := range pairs {
			if one.prompt.held != (split == corpus.Holdout) {
				continue
			}
			err := w.Write(split, &corpus.Document{
				Messages: one.prompt.messages, Chosen: one.chosen.text, Rejected: one.rejected.text,
				Verdict: &corpus.Verdict{
					ChosenScore: one.chosen.score, RejectedScore: one.rejected.score,
					ChosenSource: p.config.Answers[one.chosen.source].Name, RejectedSource: p.config.Answers[one.rejected.source].Name,
				},
			})
			if err != nil {
				return err
			}
		}
	}
	stats := &corpus.Stats{Records: int64(len(pairs)), Dropped: map[string]int64{}, Duplicates: int64(p.dropped[duplicate])}
	for reason, n := range p.dropped {
		if n > 0 && reason != duplicate {
			stats.Dropped[reason] = int64(n)
		}
	}
	return w.Close(stats)
}

// describe lists what gave no pair.
func (p *pairing) describe() string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(p.dropped)) {
		if n := p.dropped[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", n, reason))
		}
	}
	return strings.Join(parts, ", ")
}

const judgedName = "judged.json"

func (p *pairing) save(dir string) error {
	data, err := json.Marshal(p.judged)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, judgedName), data, 0o666)
}

func (p *pairing) restore(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, judgedName))
	if err != nil {
		return err
	}
	p.judged = judged{Dropped: map[string]float64{}}
	if err := json.Unmarshal(data, &p.judged); err != nil {
		return fmt.Errorf("%s: %w", judgedName, err)
	}
	p.runtime.Log("resuming after %d answers", len(p.judged.Scores))
	return nil
}
