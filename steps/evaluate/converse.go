package evaluate

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
)

// answersAtOnce is how many answers are sampled together.
const answersAtOnce = 64

// converse lets the model answer the prompts of a block and measures its answers.
func (e *evaluation) converse(ctx context.Context, at string, t *Chat) error {
	base, err := finetune.Open(e.rt, steps.Artifact{Path: e.dir}, nil, e.config.Context)
	if err != nil {
		return e.blameModel(err)
	}
	prompts, err := e.prompts(ctx, at, t, base)
	if err != nil {
		return err
	}
	answers, err := e.answers(ctx, t, base, prompts)
	if err != nil {
		return err
	}
	if err := e.judge(ctx, t, base, answers); err != nil {
		return steps.Within(at, err)
	}
	if err := e.diverge(ctx, t, base, answers); err != nil {
		return steps.Within(at, err)
	}
	c := conversation{Task: t.Name, chat: t, answers: answers}
	if !t.Reward.IsZero() {
		c.Rewards = quantiles(c.rewards())
	}
	e.Chats = append(e.Chats, c)
	e.measureAnswers(t, answers)
	return nil
}

// blameModel turns the blame of the attribute model into that of the one that names this model.
func (e *evaluation) blameModel(err error) error {
	return steps.Blame(e.at, "%s", strings.TrimPrefix(err.Error(), "model: "))
}

// answers samples one answer to each prompt.
func (e *evaluation) answers(ctx context.Context, t *Chat, base *finetune.Base, prompts []finetune.Prompt) ([]answer, error) {
	s := t.Sampling
	var all []answer
	for first := 0; first < len(prompts); first += answersAtOnce {
		some := prompts[first:min(first+answersAtOnce, len(prompts))]
		drawn, err := base.Draw(ctx, e.model, some, llm.Sampling{
			MaxTokens: s.Tokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP,
			Seed: rand.New(rand.NewPCG(e.rt.Seed(), uint64(first))).Uint64(),
		})
		if err != nil {
			return nil, err
		}
		for i, d := range drawn {
			all = append(all, answer{Answer: d, prompt: &some[i]})
		}
		e.progress(t.Name, len(all), len(prompts))
	}
	return all, nil
}

// judge has the answers scored.
func (e *evaluation) judge(ctx context.Context, t *Chat, base *finetune.Base, answers []answer) error {
	longest := 0
	judged := make([]reward.Answer, len(answers))
	for i, a := range answers {
		longest = max(longest, len(a.prompt.IDs)+len(a.IDs))
		judged[i] = reward.Answer{Answer: a.Answer, Prompt: a.prompt}
	}
	j, err := reward.Open(e.rt, t.Config, base, longest)
	if err != nil {
		return err
	}
	defer j.Close()
	scores, err := j.Score(ctx, judged)
	if err != nil {
		return err
	}
	for i := range answers {
		answers[i].score = scores[i]
	}
	return nil
}

// diverge measures how much likelier the model finds its answers than the reference does. Both are asked after the same
// tokens at the temperature of the sampling: the mean over answers drawn from the model is its Kullback-Leibler
// divergence from the reference.
func (e *evaluation) diverge(ctx context.Context, t *Chat, base *finetune.Base, answers []answer) error {
	if t.Reference.IsZero() {
		return nil
	}
	if err := base.SameTokenizer("reference", t.Reference); err != nil {
		return err
	}
	dev, err := e.rt.Device()
	if err != nil {
		return err
	}
	m, err := llm.Load(dev, t.Reference.Path)
	if err != nil {
		return steps.Blame("reference", "%w", err)
	}
	defer m.Close()
	var examples []finetune.Example
	var all []int
	longest := microTokens
	for i, a := range answers {
		ids := slices.Concat(a.prompt.IDs, a.IDs)
		targets := make([]int32, len(ids))
		for n := range targets {
			targets[n] = gpu.NoTarget
		}
		copy(targets[len(a.prompt.IDs)-1:], a.IDs)
		examples = append(examples, finetune.Example{Segments: []finetune.Segment{{IDs: ids, Targets: targets}}})
		all, longest = append(all, i), max(longest, len(ids))
	}
	if err := m.Inference(longest); err != nil {
		return err
	}
	at := 0
	for _, b := range finetune.Pack(examples, all, longest) {
		if err := ctx.Err(); err != nil {
			return err
		}
		logp := make([]float64, b.Stream.Len())
		if err := m.Forward(&b.Stream); err != nil {
			return err
		}
		if err := m.LogProbs(logp, nil, &b.Stream, t.Sampling.Temperature); err != nil {
			return err
		}
		for segment := range b.Stream.Segments() {
			a, end := &answers[at], int(b.Stream.Starts[segment+1])-1 // behind the last token nothing is to be said
			for n, l := range logp[end-len(a.IDs) : end] {
				a.kl += a.Logp[n] - l
			}
			at++
		}
	}
	return nil
}

// measureAnswers enters the figures of the answers.
func (e *evaluation) measureAnswers(t *Chat, answers []answer) {
	column := func(of func(a *answer) float64) []float64 {
		list := make([]float64, len(answers))
		for i := range answers {
			list[i] = of(&answers[i])
		}
		return list
	}
	enter := func(name string, judge bool, points []float64) {
		f := ratio(points, ones(len(points)))
		if !slices.ContainsFunc(points, func(p float64) bool { return p != 0 && p != 1 }) {
			f = share(points)
		}
		e.measured(measure{Task: t.Name, Metric: name, Items: len(points), figure: f, num: points, den: ones(len(points)), chat: true, judge: judge})
	}
	for _, r := range t.Rules {
		enter(r.Name, true, column(func(a *answer) float64 { return a.score.Parts[r.Name] }))
	}
	judges := len(t.Rules)
	if !t.Reward.IsZero() {
		enter(reward.ModelName, true, column(func(a *answer) float64 { return a.score.Parts[reward.ModelName] }))
		judges++
	}
	if judges > 1 {
		enter(scoreFigure, true, column(func(a *answer) float64 { return a.score.Total }))
	}
	enter(endedFigure, false, column(func(a *answer) float64 { return one(a.Ended) }))
	enter(lengthFigure, false, column(func(a *answer) float64 { return float64(len(a.IDs)) }))
	enter(repeatedFigure, false, column(func(a *answer) float64 { return one(repeats(a.Text, t.Repeats)) }))
	if !t.Reference.IsZero() {
		enter(klFigure, false, column(func(a *answer) float64 { return a.kl }))
	}
	for _, a := range answers {
		question := a.prompt.Messages[len(a.prompt.Messages)-1].Content
		e.items = append(e.items, item{Model: e.Model, Task: t.Name, Query: question, Text: a.Text, Ended: &a.Ended, Points: a.score.Parts})
	}
}

// repeats reports whether a text says n words in a row twice. Words are what white space separates.
func repeats(text string, n int) bool {
	words := strings.Fields(text)
	seen := map[string]bool{}
	for i := 0; i+n <= len(words); i++ {
		run := strings.Join(words[i:i+n], " ")
		if seen[run] {
			return true
		}
		seen[run] = true
	}
	return false
}
