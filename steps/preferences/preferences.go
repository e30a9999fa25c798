// Package preferences is the step type preferences: it makes pairs of a better and a worse answer to the same prompt, for
// reward_model and dpo to learn from. The answers are those of generate steps, of one model or of several; which is the
// better is said by the scores that they have, by a reward model or by rules.
//
// Sampling is the business of steps/generate, judging that of steps/internal/reward. Start at [Config] for what may be
// written; run.go has the order of events, gather.go brings the answers to one prompt together, pair.go makes pairs of
// them.
package preferences

import (
	"errors"
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "preferences",
	Doc:     "Makes preference pairs of several answers to the same prompts, by their scores.",
	Version: 4,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "data", Type: "dataset", Doc: "Preferences: prompt, chosen and rejected as lists of messages, and beside them margin, chosen_score, rejected_score, chosen_source, rejected_source. Pairs about a prompt that was held back in any of the sources are held back."},
		{Name: "report", Type: "report", Doc: "samples.jsonl, with pairs and their scores, margins.svg and summary.md."},
		{Name: "pairs", Type: "number", Doc: "Pairs, of both splits."},
		{Name: "prompts", Type: "number", Doc: "Prompts that have a pair."},
		{Name: "margin", Type: "number", Doc: "Mean difference of a pair's two scores."},
		{Name: "chosen", Type: "map(number)", Doc: "Share of the pairs whose better answer is of each answers block."},
		{Name: "dropped", Type: "map(number)", Doc: "What gave no pair. Answers: no_answer, duplicate, empty, roles, control_tokens, too_long, template. Prompts with one answer: single. Pairs: tie, margin, beyond max_pairs: more."},
	},
	Files:    reward.Files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a preferences block holds.
type Config struct {
	Answers []Answers `json:"answers" hcl:"block" min:"1" doc:"Where answers come from: one block for several samples of one model, one for each of several models."`

	reward.Config

	Context *int `json:"context" min:"2" doc:"Most tokens of a dialogue that the reward model reads; longer ones are dropped and counted. Left out, the context that it is made for."`

	Pairs     string  `json:"pairs" default:"\"best_worst\"" one_of:"best_worst,all" doc:"Which answers to a prompt make pairs: the best with the worst, or all with all."`
	Across    bool    `json:"across" default:"false" doc:"Pair only answers of different answers blocks: one model's with another's."`
	MinMargin float64 `json:"min_margin" default:"0" min:"0" doc:"Least difference of a pair's two scores. Equal scores never make a pair."`
	MaxPairs  *int    `json:"max_pairs" min:"1" doc:"Most pairs of each prompt, those with the widest margins. Left out: no limit."`

	CheckpointEvery float64 `json:"checkpoint_every" hcl:"free" default:"60" min:"0" doc:"Seconds between two checkpoints."`
}

// Answers is one source of answers.
type Answers struct {
	Name string         `json:"name" hcl:"label"`
	Data steps.Artifact `json:"data" kind:"dataset" doc:"Dialogues that end with an answer: the data of a generate step, or a dataset. The column score of a generate step counts where the block has neither reward nor rule; its column reference, the answer that its own data had, is what rules with exact compare with. A dataset's answer is its own reference, and that of other answers to the same prompt which have none."`
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, a := range c.Answers {
		if seen[a.Name] {
			return steps.Blame(fmt.Sprintf("answers[%d]", i), "there are two answers blocks %q: the name says where an answer comes from", a.Name)
		}
		seen[a.Name] = true
	}
	switch {
	case c.Across && len(c.Answers) < 2:
		return steps.Blame("across", "pairs across sources need two answers blocks: add one, or leave across out")
	case c.MaxPairs != nil && c.Pairs != all:
		return steps.Blame("max_pairs", "the best with the worst is one pair of each prompt: leave max_pairs out, or set pairs = \"all\"")
	case c.Context != nil && c.Reward.IsZero():
		return steps.Blame("context", "only a reward model reads the dialogues as tokens: leave context out, or set reward")
	}
	return c.Check()
}

// estimate says what judging needs.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	up, ok := in.Upstream["reward"]
	if !ok {
		return steps.Estimate{}, nil
	}
	c, ok := train.Architecture(up.Facts)
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the reward model is not known yet")
	}
	c = c.Scoring()
	return steps.Estimate{Parameters: c.Parameters(), Memory: c.InferenceMemory(c.MaxPositionEmbeddings)}, nil
}
