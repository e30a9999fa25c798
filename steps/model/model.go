// Package model is the step type model: an architecture and its initial weights, or a model made elsewhere.
//
// The result is a Hugging Face folder with the tokenizer's files in it. It is written from the seed tensor by tensor,
// without a device, so a model of any size needs no memory and its bytes do not depend on the machine's accelerator.
// What a Llama is made of is steps/internal/llm; this package turns the words of a recipe into its configuration.
package model

import (
	"context"
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "model",
	Doc:     "A Llama with initial weights, from a preset or from its dimensions, or read from a Hugging Face folder.",
	Version: 1,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The model as a Hugging Face folder, in float32, with its tokenizer."},
		{Name: "parameters", Type: "number", Doc: "Weights; a tied head counts once."},
		{Name: "n_layer", Type: "number", Doc: "Layers."},
		{Name: "dim", Type: "number", Doc: "Width."},
		{Name: "vocab_size", Type: "number", Doc: "Rows of the embedding table."},
	},
	Files:    files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a model block holds. Everything but the tokenizer may come from a preset; what the block says itself
// goes before the preset.
type Config struct {
	Tokenizer steps.Artifact `json:"tokenizer" kind:"tokenizer" optional:"true" doc:"The tokenizer whose tokens the model reads and writes. Needed unless from or vocab_size is given."`
	From      *string        `json:"from" hcl:"path" doc:"A Hugging Face folder of a Llama to start from, weights and tokenizer; then no dimension can be given."`
	Preset    *string        `json:"preset" one_of:"llama3-8b,llama3-70b,llama3-405b,llama3.2-1b,llama3.2-3b,small,mini,tiny" doc:"Dimensions to start from: those of the published models, or small (12 layers of 768), mini (6 of 192), tiny (2 of 64)."`

	Layers        *int     `json:"n_layer" min:"1" doc:"Layers. Needed without a preset."`
	Dim           *int     `json:"dim" min:"2" doc:"Width. Needed without a preset."`
	FFN           *int     `json:"ffn" min:"1" doc:"Width of the feed-forward. Left out: 8/3 of dim, rounded up to a multiple of 32."`
	Heads         *int     `json:"n_head" min:"1" doc:"Query heads. Left out: as few as make heads of at most 64."`
	KVHeads       *int     `json:"n_kv_head" min:"1" doc:"Key and value heads, each of which n_head/n_kv_head query heads share. Left out: n_head."`
	VocabSize     *int     `json:"vocab_size" min:"1" doc:"Rows of the embedding table. Left out: the tokens of the tokenizer."`
	MaxContext    *int     `json:"max_context" min:"1" doc:"Longest text that the model is made for, in tokens. Left out: 8192."`
	RopeTheta     *float64 `json:"rope_theta" doc:"Base of the rotary embedding. Left out: 500000."`
	RMSNormEps    *float64 `json:"rms_norm_eps" doc:"Added to the mean square in RMSNorm. Left out: 1e-5."`
	TieEmbeddings *bool    `json:"tie_embeddings" doc:"Whether the head shares the embedding table. Left out: false, or what the preset says."`
	InitStd       *float64 `json:"init_std" min:"0" doc:"Standard deviation of the initial weights; matrices that write to the residual stream have it divided by the root of twice n_layer. Left out: 0.02."`
	MuP           *MuP     `json:"mup" hcl:"block" doc:"Initial weights of the maximal update parametrization (arXiv 2203.03466), for pretrain with the same block: what was tuned on a narrow model holds for a wide one."`
}

// MuP says what width the settings were tuned at.
type MuP struct {
	BaseDim int `json:"base_dim" min:"1" doc:"Width of the model that the learning rate and init_std were tuned on. Wider models have more heads, not larger ones."`
}

// files lists what is read from outside the recipe: the folder of from.
func files(s *steps.Spec) ([]string, error) {
	var c Config
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	if c.From == nil {
		return nil, nil
	}
	dir := s.Resolve(*c.From)
	list, err := llm.Files(dir)
	if err != nil {
		return nil, steps.Blame("from", "%w", err)
	}
	if c.Tokenizer.IsZero() {
		tokenizer, err := llm.TokenizerFiles(dir)
		if err != nil {
			return nil, steps.Blame("from", "%w", err)
		}
		list = append(list, tokenizer...)
	}
	return list, nil
}

// check finds out whether there can be such a model. The size of a tokenizer that is yet to be made is not known here.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	_, err := c.architecture(s, 0)
	return err
}

// run writes the model's folder.
func run(ctx context.Context, rt *steps.Runtime) error {
	var c Config
	if err := rt.Config(&c); err != nil {
		return err
	}
	dir, err := rt.Output("model")
	if err != nil {
		return err
	}
	var tokenizer *bpe.Tokenizer
	vocab := 0
	if !c.Tokenizer.IsZero() {
		if tokenizer, err = bpe.Load(c.Tokenizer.Path); err != nil {
			return steps.Blame("tokenizer", "%w", err)
		}
		vocab = tokenizer.VocabSize()
	}
	a, err := c.architecture(rt.Spec(), vocab)
	if err != nil {
		return err
	}
	if err := c.write(ctx, rt, dir, a, tokenizer); err != nil {
		return err
	}
	rt.Log("%d parameters: %d layers of %d, %d tokens", a.Parameters(), a.NumHiddenLayers, a.HiddenSize, a.VocabSize)
	rt.Set("parameters", float64(a.Parameters()))
	rt.Set("n_layer", float64(a.NumHiddenLayers))
	rt.Set("dim", float64(a.HiddenSize))
	rt.Set("vocab_size", float64(a.VocabSize))
	return nil
}

func (c *Config) write(ctx context.Context, rt *steps.Runtime, dir string, a llm.Config, tokenizer *bpe.Tokenizer) error {
	source := c.Tokenizer.Path
	if c.From != nil {
		from := rt.Resolve(*c.From)
		if _, err := llm.Convert(ctx, dir, from); err != nil {
			return steps.Blame("from", "%w", err)
		}
		if source == "" {
			source = from
		}
	} else {
		if tokenizer != nil {
			a.BOSTokenID, a.PadTokenID = optional(tokenizer.BOS()), optional(tokenizer.PAD())
			if id, ok := tokenizer.EOS(); ok {
				a.EOSTokenIDs = []int32{id}
			}
		}
		if err := llm.WriteInitial(ctx, dir, a, rt.Seed()); err != nil {
			return fmt.Errorf("writing the initial weights: %w", err)
		}
	}
	if source == "" {
		rt.Warn("the model has no tokenizer: it can be trained on tokens that other tools made, and cannot be talked to")
		return nil
	}
	return llm.CopyTokenizer(dir, source)
}

func optional(id int32, ok bool) *int32 {
	if !ok {
		return nil
	}
	return &id
}
