package reward

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
)

// ModelName is the name of the reward model's part in the figures.
const ModelName = "reward_model"

// An Answer is what is scored.
type Answer struct {
	finetune.Answer

	Prompt *finetune.Prompt
}

// A Score is the verdict on one answer.
type Score struct {
	Total float64            `json:"total"`
	Parts map[string]float64 `json:"parts"` // points by the name of the rule, before weights
}

// A Judge scores answers.
type Judge struct {
	config  Config
	dir     string // of the pipeline
	rules   []*regexp.Regexp
	model   *llm.Model // nil: rules alone
	ending  []int32
	context int
}

// mostTokens is how much the reward model reads at once, unless one dialogue is longer.
const mostTokens = 4096

// Open loads the reward model, if there is one, for dialogues of at most context tokens before their ending.
func Open(rt *steps.Runtime, c Config, base *finetune.Base, context int) (*Judge, error) {
	j := &Judge{config: c, dir: rt.Spec().Dir}
	for i := range c.Rules {
		re, err := c.Rules[i].compile(fmt.Sprintf("rule[%d]", i))
		if err != nil {
			return nil, err
		}
		j.rules = append(j.rules, re)
	}
	if c.Reward.IsZero() {
		return j, nil
	}
	var err error
	if err = CheckModel("reward", c.Reward, base); err != nil {
		return nil, err
	}
	if j.ending, err = base.Format.Ending(); err != nil {
		return nil, err
	}
	dev, err := rt.Device()
	if err != nil {
		return nil, err
	}
	if j.model, err = llm.LoadScore(dev, c.Reward.Path, 0); err != nil {
		return nil, steps.Blame("reward", "%w", err)
	}
	j.context = max(mostTokens, context+len(j.ending))
	if err := j.model.Inference(j.context); err != nil {
		j.Close()
		return nil, err
	}
	return j, nil
}

// CheckModel reports a model that scores nothing or reads text in another way than base.
func CheckModel(attribute string, a steps.Artifact, base *finetune.Base) error {
	config, err := llm.ReadConfig(a.Path)
	if err != nil {
		return steps.Blame(attribute, "%w", err)
	}
	if !config.Score {
		return steps.Blame(attribute, "it is a language model, which gives no scores: take the model of a reward_model step")
	}
	return base.SameTokenizer(attribute, a)
}

// Close gives the reward model's memory back.
func (j *Judge) Close() {
	if j.model != nil {
		j.model.Close()
	}
}

// Score scores answers.
func (j *Judge) Score(ctx context.Context, answers []Answer) ([]Score, error) {
	scores := make([]Score, len(answers))
	for i := range scores {
		scores[i].Parts = map[string]float64{}
	}
	add := func(name, blame string, weight float64, points []float64) error {
		for i, p := range points {
			if worth := weight * p; math.IsNaN(worth) || math.IsInf(worth, 0) {
				return steps.Blame(blame, "the reward of an answer is %v: %q", p, shorten(answers[i].Text))
			}
			scores[i].Parts[name] = p
			scores[i].Total += weight * p
		}
		return nil
	}
	if j.model != nil {
		points, err := j.read(ctx, answers)
		if err == nil {
			err = add(ModelName, "reward", j.config.RewardWeight, points)
		}
		if err != nil {
			return nil, err
		}
	}
	for i := range j.config.Rules {
		r, at := &j.config.Rules[i], fmt.Sprintf("rule[%d]", i)
		points, err := j.apply(ctx, r, j.rules[i], answers)
		if err != nil {
			return nil, steps.Blame(at, "%w", err)
		}
		if err := add(r.Name, at, r.Weight, points); err != nil {
			return nil, err
		}
	}
	return scores, nil
}

// Shape is that of the reward model; nil if there is none.
func (j *Judge) Shape() *llm.Config {
	if j.model == nil {
		return nil
	}
	return &j.model.Config
}

// read is the reward model's score of each answer, as a dialogue that has ended: at the token where it was trained to
// give one, whichever token ended the sampled answer, and also if none did.
func (j *Judge) read(ctx context.Context, answers []Answer) ([]float64, error) {
	var examples []finetune.Example
	var all []int
	for i, a := range answers {
		said := a.IDs
		if a.Ended {
			said = said[:len(said)-1]
		}
		ids := slices.Concat(a.Prompt.IDs, said, j.ending)
		targets := make([]int32, len(ids))
		for n := range targets {
			targets[n] = gpu.NoTarget
		}
		targets[len(ids)-1] = ids[len(ids)-1]
		examples = append(examples, finetune.Example{Segments: []finetune.Segment{{IDs: ids, Targets: targets}}})
		all = append(all, i)
	}
	var points []float64
	for _, b := range finetune.Pack(examples, all, j.context) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		scores, err := finetune.LogProbs(j.model, &b.Stream)
		if err != nil {
			return nil, err
		}
		for _, end := range b.Stream.Starts[1:] {
			points = append(points, scores[end-1]-j.model.Config.ScoreShift)
		}
	}
	return points, nil
}

// apply gives the points of one rule.
func (j *Judge) apply(ctx context.Context, r *Rule, re *regexp.Regexp, answers []Answer) ([]float64, error) {
	if r.Program != nil {
		return j.run(ctx, r.Program, answers)
	}
	points := make([]float64, len(answers))
	for i, a := range answers {
		switch {
		case r.Exact && a.Prompt.Reference == "":
			return nil, fmt.Errorf("exact compares with the answer of the dataset, and it has none to the prompt %s: let data be dialogues that end with an answer, or preferences", Quote(a.Prompt.Messages))
		case r.Exact:
			points[i] = finetune.Share(same(re, a.Text, a.Prompt.Reference))
		default:
			points[i] = finetune.Share(re.MatchString(a.Text))
		}
	}
	return points, nil
}

// same compares an answer with that of reference.
func same(extract *regexp.Regexp, answer, reference string) bool {
	if extract == nil {
		return strings.TrimSpace(answer) == strings.TrimSpace(reference)
	}
	found, wanted := extract.FindAllStringSubmatch(answer, -1), extract.FindAllStringSubmatch(reference, -1)
	return len(found) > 0 && len(wanted) > 0 && found[len(found)-1][1] == wanted[len(wanted)-1][1]
}

// shorten keeps messages short.
func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// Quote names a prompt in a message by what was said last.
func Quote(messages []chat.Message) string {
	if len(messages) == 0 {
		return `""`
	}
	return strconv.Quote(shorten(messages[len(messages)-1].Content))
}

// Messages is the dialogue with its answer.
func (a *Answer) Messages() []chat.Message {
	return append(slices.Clone(a.Prompt.Messages), chat.Message{Role: chat.Assistant, Content: a.Text})
}
