// Package generate is the step type generate: a chat model answers prompts, several times each, a reward model or rules
// score the answers, and the best become a dataset. With sft after it, that is rejection sampling (arXiv 2407.21783,
// section 4.2.2).
//
// Sampling and scoring are steps/internal/finetune and steps/internal/reward. Start at [Config] for what may be written
// and at run.go for the order of events.
package generate

import (
	"errors"

	"athanor/steps"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "generate",
	Doc:     "Lets a chat model answer prompts and keeps the best answers as a dataset.",
	Version: 6,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "data", Type: "dataset", Doc: "Dialogues that end with an answer of the model; the column score says how good it is, where something scores, and reference is the answer that the data has. A preferences step makes pairs of them. Prompts that were held back give dialogues that are held back."},
		{Name: "report", Type: "report", Doc: "samples.jsonl, with the best and the worst answers and their scores, and summary.md."},
		{Name: "prompts", Type: "number", Doc: "Prompts that were answered."},
		{Name: "answers", Type: "number", Doc: "Answers that were kept, of both splits."},
		{Name: "score", Type: "number", Doc: "Mean score of all answers, kept or not; 0 where nothing scores."},
		{Name: "kept_score", Type: "number", Doc: "Mean score of those that were kept."},
		{Name: "length", Type: "number", Doc: "Mean tokens per answer."},
		{Name: "ended", Type: "number", Doc: "Share of the answers that end by themselves."},
		{Name: "dropped", Type: "map(number)", Doc: "Answers that were not kept, by reason: unfinished, empty, control_tokens, duplicate, score, worse."},
	},
	Files:    reward.Files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a generate block holds.
type Config struct {
	Model   steps.Artifact `json:"model" kind:"model" doc:"The chat model that answers."`
	Data    steps.Artifact `json:"data" kind:"dataset" doc:"Prompts: a dataset with a column prompt, or dialogues or preferences, whose questions are taken."`
	Prompts *int           `json:"prompts" min:"1" doc:"Most prompts of each split, evenly spread over it. Left out: all."`
	System  *string        `json:"system" doc:"A system message before each prompt that has none. It becomes part of the dialogue."`
	Context *int           `json:"context" min:"2" doc:"Most tokens of a dialogue with its answer; prompts that leave no room for one are dropped and counted. Left out, the context that the model is made for."`

	Answers  int      `json:"answers" default:"1" min:"1" doc:"Answers to each prompt."`
	Sampling Sampling `json:"sampling" hcl:"block" doc:"How answers are sampled."`

	reward.Config

	Keep       *int     `json:"keep" min:"1" doc:"Keep so many of each prompt's answers, the best. Left out: all."`
	MinScore   *float64 `json:"min_score" doc:"Keep no answer with a lower score."`
	Unfinished bool     `json:"unfinished" default:"false" doc:"Keep answers that do not end by themselves. A model that is trained on them learns not to end its own."`

	CheckpointEvery float64 `json:"checkpoint_every" hcl:"free" default:"60" min:"0" doc:"Seconds between two checkpoints."`
}

// Sampling says how answers are sampled.
type Sampling struct {
	Tokens      int     `json:"tokens" default:"256" min:"1" doc:"Most tokens of an answer."`
	Temperature float64 `json:"temperature" default:"1" min:"0" doc:"Divides the logits; 0 always takes the likeliest token."`
	TopK        int     `json:"top_k" default:"0" min:"0" doc:"Draw among so many of the likeliest tokens; 0: among all."`
	TopP        float64 `json:"top_p" default:"1" min:"0" max:"1" doc:"Draw among the likeliest tokens that together have this probability; 1: among all."`
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	switch {
	case c.Keep != nil && *c.Keep < c.Answers && c.Config.IsZero():
		return steps.Blame("keep", "nothing says which answers are the best: set reward to a reward model, or add a block rule")
	case c.MinScore != nil && c.Config.IsZero():
		return steps.Blame("min_score", "nothing gives a score: set reward to a reward model, or add a block rule")
	case c.Keep != nil && *c.Keep > c.Answers:
		return steps.Blame("keep", "of %d answers to each prompt %d cannot be kept: raise answers or lower keep", c.Answers, *c.Keep)
	case c.Sampling.Temperature == 0 && c.Answers > 1:
		return steps.Blame("sampling.temperature", "at temperature 0 all %d answers to a prompt are the same: raise it, or set answers = 1", c.Answers)
	}
	return c.Check()
}

// estimate says what sampling needs.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	c, ok := train.Architecture(in.Upstream["model"].Facts)
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the model is not known yet")
	}
	return steps.Estimate{Parameters: c.Parameters(), Memory: c.InferenceMemory(c.MaxPositionEmbeddings)}, nil
}
