// Package mixture is the step type mixture: it turns the documents of one or more datasets into token ids and says in
// which shares they are trained on.
//
// Every document becomes BOS, the ids of its text, EOS. A tokenizer without a BOS has its EOS in both places, as GPT-2
// does. The ids are on disk once, however the weights are set; dealing them out by weight is the business of
// steps/internal/tokens, which also holds the format. Start at [Type]; encode.go does the work.
package mixture

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/tokens"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "mixture",
	Doc:     "Turns datasets into token ids and weighs them against each other.",
	Version: 2,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "data", Type: "tokens", Doc: "The token ids as Megatron indexed datasets, with mixture.json and the tokenizer."},
		{Name: "tokens", Type: "number", Doc: "Tokens to train on in one pass over all parts."},
		{Name: "holdout_tokens", Type: "number", Doc: "Tokens held back."},
		{Name: "bytes_per_token", Type: "number", Doc: "Bytes of text per token, of all parts."},
		{Name: "available_tokens", Type: "number", Doc: "Tokens that can be trained on before every part has reached its max_epochs; null if one that has a weight may be repeated without end: one pass is tokens."},
	},
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a mixture block holds.
type Config struct {
	Tokenizer steps.Artifact `json:"tokenizer" kind:"tokenizer" doc:"What makes ids of the text."`
	Parts     []Part         `json:"part" hcl:"block" min:"1" doc:"A dataset and its share."`
}

// A Part is one dataset of the mixture.
type Part struct {
	Name      string         `json:"name" hcl:"label"`
	Data      steps.Artifact `json:"data" kind:"dataset" doc:"Documents with a text."`
	Weight    float64        `json:"weight" default:"1" min:"0" doc:"Share of the tokens trained on, by the sum of all weights. A part of weight 0 is not trained on; its held-out documents are still there to evaluate."`
	MaxEpochs *int           `json:"max_epochs" min:"1" doc:"How often its documents may be repeated; then its weight goes to the other parts. Up to 4 cost little (arXiv 2305.16264). Absent: no limit."`
}

// A part's name is that of its files.
var partName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	return c.check()
}

func (c *Config) check() error {
	seen := map[string]bool{}
	sum := 0.0
	for i, p := range c.Parts {
		at := fmt.Sprintf("part[%d]", i)
		if !partName.MatchString(p.Name) {
			return steps.Blame(at, "the name %q of a part becomes a file name: use letters, digits, - and _", p.Name)
		}
		if name := strings.ToLower(p.Name); seen[name] {
			return steps.Blame(at, "there are two parts %q (capitals do not count in file names everywhere)", p.Name)
		} else {
			seen[name] = true
		}
		if p.Weight < 0 || math.IsInf(p.Weight, 0) || math.IsNaN(p.Weight) {
			return steps.Blame(at+".weight", "a weight of %g: it must be a number from 0 on", p.Weight)
		}
		sum += p.Weight
	}
	if sum == 0 {
		return steps.Blame("part[0].weight", "all weights are 0: at least one part must be trained on")
	}
	if math.IsInf(sum, 0) {
		return steps.Blame("part[0].weight", "the sum of the weights is too large")
	}
	return nil
}

// estimate foretells the tokens from the size of the text, and names the parts.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var c struct { // weights may not be known yet
		Parts []struct {
			Name string `json:"name"`
		} `json:"part"`
	}
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	text, known := 0.0, true
	for at, up := range in.Upstream {
		if strings.HasSuffix(at, ".data") {
			bytes, ok := up.Facts["bytes"]
			text, known = text+bytes, known && ok
		}
	}
	e := steps.Estimate{Bytes: int64(text), Facts: map[string]float64{}}
	names := make([]string, len(c.Parts))
	for i, p := range c.Parts {
		names[i] = p.Name
	}
	tokens.NameParts(e.Facts, names)
	tokenizer := in.Upstream["tokenizer"].Facts
	if vocabSize := tokenizer["vocab_size"]; vocabSize > 1 {
		e.Facts["vocab_size"] = vocabSize
	}
	if known && text > 0 {
		e.Tokens = int64(tokens.Expect(text, tokenizer))
		e.Facts["tokens"] = float64(e.Tokens)
	}
	return e, nil
}
