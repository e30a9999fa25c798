// Package evaluate is the step type evaluate: it says how well a model predicts held-out text, in nats per token and in
// bits per byte, beside what compressors make of the same text.
//
// How a score is computed is steps/internal/train; this package finds the text, encodes it with the model's own
// tokenizer and writes the tables. Start at [Config] for what may be written and at run.go for the order of events.
package evaluate

import (
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/sampling"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "evaluate",
	Doc:     "Measures how well a model predicts held-out text, beside compressors, and draws samples.",
	Version: 1,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "report", Type: "report", Doc: "results.json, samples.jsonl, summary.md."},
		{Name: "loss", Type: "map(number)", Doc: "Loss in nats per token, by dataset."},
		{Name: "bits_per_byte", Type: "map(number)", Doc: "Bits per byte of text, by dataset."},
		{Name: "gzip", Type: "map(number)", Doc: "Bits per byte of gzip -9, by dataset; empty unless baselines asks for it."},
		{Name: "xz", Type: "map(number)", Doc: "Bits per byte of xz -9e, by dataset; empty unless baselines asks for it and the program xz is there."},
	},
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what an evaluate block holds.
type Config struct {
	Model     steps.Artifact   `json:"model" kind:"model" doc:"The model to evaluate."`
	Data      steps.Artifact   `json:"data" kind:"tokens" optional:"true" doc:"A mixture: each part's held-out documents count as a dataset of the part's name."`
	Datasets  []Dataset        `json:"dataset" hcl:"block" doc:"Datasets to evaluate on, by a name for the tables."`
	Context   *int             `json:"context" min:"2" doc:"Most tokens of a document that the model sees at once. Left out: the context that the model is made for."`
	Bytes     *int64           `json:"bytes" min:"1" doc:"Most bytes of text to read of each dataset, evenly spread over it. Left out: all."`
	Baselines []string         `json:"baselines" default:"[]" one_of:"gzip,xz" doc:"Compressors to set beside the model: gzip is gzip -9, xz is xz -9e and needs the program xz."`
	Sample    *sampling.Config `json:"sample" hcl:"block" doc:"Texts to let the model continue."`
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
	if c.Data.IsZero() && len(c.Datasets) == 0 && c.Sample == nil {
		return steps.Blame("dataset", "there is nothing to evaluate: add a block dataset, a mixture as data, or a block sample")
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
