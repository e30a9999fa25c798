// Package evaluate is the step type evaluate: it says how well one or several models predict held-out text, in nats per
// token and in bits per byte, beside what compressors make of the same text, and how they do on tasks: multiple choice,
// the last word of a text, answers that are compared with the right ones, facts to be found in long texts. Every figure has a confidence interval.
//
// How log-probabilities are computed is steps/internal/train and steps/internal/llm; this package finds the text,
// encodes it with the model's own tokenizer and writes the tables. The tasks are scored as EleutherAI's
// lm-evaluation-harness scores them. Start at [Config] for what may be written and at run.go for the order of events.
package evaluate

import (
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/sampling"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "evaluate",
	Doc:     "Measures how well models predict held-out text, beside compressors, how they do on tasks and how they answer, side by side, and draws samples.",
	Version: 7,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "report", Type: "report", Doc: "results.json, items.jsonl, samples.jsonl, summary.md; needle_TEST.svg of each needle test, reward_TEST.svg of each chat test with a reward model."},
		{Name: "loss", Type: "map(number)", Doc: "Loss in nats per token, by dataset. Here and below: of the models to compare with, by NAME/DATASET or NAME/TASK."},
		{Name: "bits_per_byte", Type: "map(number)", Doc: "Bits per byte of text, by dataset."},
		{Name: "accuracy", Type: "map(number)", Doc: "Share that is right, by task: acc of multiple choice and last words, exact match of generation, needles found."},
		{Name: "accuracy_norm", Type: "map(number)", Doc: "acc_norm of multiple choice, by task: the choice with the largest log-likelihood per character."},
		{Name: "perplexity", Type: "map(number)", Doc: "Perplexity of the last words, by task."},
		{Name: "chat", Type: "map(number)", Doc: "Figures of answers, by TEST/FIGURE: the mean points of each rule by its name, reward_model, score (their weighted sum), ended, length, repeated, kl."},
		{Name: "win_rate", Type: "map(number)", Doc: "How often an answer is better than that of the model it is set against, equals counting half, by NAME/TEST/JUDGE: a rule, reward_model, or score."},
		{Name: "difference", Type: "map(number)", Doc: "By how much a figure of a model to compare with is above that of the model it is set against, by NAME/DATASET/bits_per_byte, NAME/TASK/acc and so on, NAME/TEST/FIGURE."},
		{Name: "difference_low", Type: "map(number)", Doc: "Lower end of the interval that holds the true difference with 95 % confidence. Items are paired. Above 0: the model's figure is surely the higher one."},
		{Name: "difference_high", Type: "map(number)", Doc: "Upper end of the same interval."},
		{Name: "gzip", Type: "map(number)", Doc: "Bits per byte of gzip -9, by dataset; empty unless baselines asks for it."},
		{Name: "xz", Type: "map(number)", Doc: "Bits per byte of xz -9e, by dataset; empty unless baselines asks for it and the program xz is there."},
	},
	Files:    files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what an evaluate block holds.
type Config struct {
	Model       steps.Artifact   `json:"model" kind:"model" doc:"The model to evaluate."`
	Name        string           `json:"name" default:"\"model\"" doc:"What the tables call it."`
	Others      []Other          `json:"compare" hcl:"block" doc:"Further models to set beside it, by a name for the tables."`
	Data        steps.Artifact   `json:"data" kind:"tokens" optional:"true" doc:"A mixture: each part's held-out documents count as a dataset of the part's name."`
	Datasets    []Dataset        `json:"dataset" hcl:"block" doc:"Datasets to evaluate on, by a name for the tables."`
	Context     *int             `json:"context" min:"2" doc:"Most tokens of a document that the model sees at once. Left out: the context that the model is made for."`
	Bytes       *int64           `json:"bytes" min:"1" doc:"Most bytes of text to read of each dataset, evenly spread over it. Left out: all."`
	Baselines   []string         `json:"baselines" default:"[]" one_of:"gzip,xz" doc:"Compressors to set beside the model: gzip is gzip -9, xz is xz -9e and needs the program xz."`
	Choices     []Choice         `json:"multiple_choice" hcl:"block" doc:"Multiple choice by log-likelihood. An item with a choice longer than the context counts as wrong."`
	LastWords   []LastWord       `json:"last_word" hcl:"block" doc:"Prediction of the last word of texts."`
	Generations []Generation     `json:"generate" hcl:"block" doc:"Answers that the model writes, with exact match."`
	Needles     []Needle         `json:"needle" hcl:"block" doc:"Needle in a haystack: facts hidden at several depths of texts of several lengths, and asked for at their end."`
	Chats       []Chat           `json:"chat" hcl:"block" doc:"Questions that the models answer as chat models: by rules and a reward model, how often one is better than another, how far it is from a reference, how long its answers are and whether they end."`
	Sample      *sampling.Config `json:"sample" hcl:"block" doc:"Texts to let the models continue."`
}

// Other is a model to compare with.
type Other struct {
	Name  string         `json:"name" hcl:"label"`
	Model steps.Artifact `json:"model" kind:"model" doc:"The model."`

	Against *string `json:"against" doc:"The name of the model that its figures are set against. Left out: the first."`
}

// Dataset is one dataset to evaluate on.
type Dataset struct {
	Name  string         `json:"name" hcl:"label"`
	Data  steps.Artifact `json:"data" kind:"dataset" doc:"The dataset."`
	Split string         `json:"split" default:"\"holdout\"" one_of:"holdout,train" doc:"Which of its documents to read."`
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	if c.Data.IsZero() && len(c.Datasets) == 0 && c.Sample == nil && len(c.tasks())+len(c.Needles)+len(c.Chats) == 0 {
		return steps.Blame("dataset", "there is nothing to evaluate: add a block dataset, a mixture as data, a task, or a block sample")
	}
	if err := c.checkOthers(); err != nil {
		return err
	}
	if err := c.checkTasks(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for i, d := range c.Datasets {
		if seen[d.Name] {
			return steps.Blame(fmt.Sprintf("dataset[%d]", i), "two datasets are called %q: their figures need two names", d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}

// checkOthers looks at the names of the models.
func (c *Config) checkOthers() error {
	names := map[string]bool{c.Name: true}
	for i, o := range c.Others {
		if names[o.Name] {
			return steps.Blame(fmt.Sprintf("compare[%d]", i), "two models are called %q: their figures need two names (the attribute model is %q)", o.Name, c.Name)
		}
		names[o.Name] = true
	}
	for i, o := range c.Others {
		if o.Against == nil {
			continue
		}
		if *o.Against == o.Name || !names[*o.Against] {
			return steps.Blame(fmt.Sprintf("compare[%d].against", i), "no other model is called %q: name the first, %q, or another block compare", *o.Against, c.Name)
		}
	}
	return nil
}
