package dsl_test

import (
	"athanor/dsl"

	"github.com/zclconf/go-cty/cty"
)

// The step types of the tests: a small furnace.

type ref struct {
	Kind   string `json:"kind"`
	Digest string `json:"digest"`
}

type datasetConfig struct {
	Files   []filesBlock `json:"files" hcl:"block" min:"1"`
	Filter  filterBlock  `json:"filter" hcl:"block"`
	Holdout float64      `json:"holdout" default:"0" min:"0" max:"0.5" doc:"Share of documents held out."`
	Threads int          `json:"threads" default:"0" hcl:"free"`
}

type filesBlock struct {
	Include []string `json:"include" hcl:"path" min:"1" doc:"Glob patterns."`
	Per     string   `json:"per" default:"file" one_of:"file,line,separator"`
}

type filterBlock struct {
	MinChars int  `json:"min_chars" default:"100"`
	MaxChars *int `json:"max_chars"`
}

type tokenizerConfig struct {
	Train *struct {
		Corpus    []ref `json:"corpus" kind:"dataset" min:"1"`
		VocabSize int   `json:"vocab_size" min:"256"`
	} `json:"train" hcl:"block"`
	SpecialTokens string `json:"special_tokens" default:"llama3"`
}

type mixtureConfig struct {
	Tokenizer ref         `json:"tokenizer" kind:"tokenizer"`
	Parts     []partBlock `json:"part" hcl:"block" min:"1"`
}

type partBlock struct {
	Name      string   `json:"name" hcl:"label"`
	Data      ref      `json:"data" kind:"dataset"`
	Weight    float64  `json:"weight" default:"1" min:"0"`
	MaxEpochs *float64 `json:"max_epochs"`
}

type modelConfig struct {
	Layers int      `json:"n_layer" min:"1" doc:"Number of layers."`
	Dim    int      `json:"dim" default:"256"`
	Theta  *float64 `json:"rope_theta"`
}

type pretrainConfig struct {
	Model     ref            `json:"model" kind:"model" doc:"Where the weights come from."`
	Data      ref            `json:"data" kind:"tokens"`
	Extra     []ref          `json:"extra" kind:"dataset" optional:"true"`
	ByName    map[string]ref `json:"by_name" kind:"dataset" optional:"true"`
	Reward    ref            `json:"reward" kind:"model" optional:"true"`
	Tokens    int64          `json:"tokens" default:"1000000" min:"1"`
	Optimizer struct {
		LR    float64    `json:"lr" default:"3e-3" min:"0"`
		Betas [2]float64 `json:"betas" default:"[0.9, 0.95]"`
	} `json:"optimizer" hcl:"block"`
	Schedule struct {
		Shape string `json:"shape" default:"cosine" one_of:"cosine,linear,wsd,constant"`
	} `json:"schedule" hcl:"block"`
	Labels map[string]string `json:"labels"`
	Any    any               `json:"any"`
	Every  int               `json:"checkpoint_every" default:"500" hcl:"free"`
}

type lawConfig struct {
	Data    ref       `json:"data" kind:"tokens"`
	Budgets []float64 `json:"budgets" min:"1"`
}

type evaluateConfig struct {
	Model ref   `json:"model" kind:"model"`
	Data  []ref `json:"data" kind:"dataset" optional:"true"`
}

func testTypes() []dsl.Type {
	art := dsl.ArtifactType
	loss := dsl.Output{Name: "loss", Type: cty.Number}
	model := dsl.Output{Name: "model", Type: art("model")}
	return []dsl.Type{
		{Name: "dataset", Config: datasetConfig{}, Outputs: []dsl.Output{
			{Name: "dataset", Type: art("dataset")}, {Name: "records", Type: cty.Number}}},
		{Name: "tokenizer", Config: tokenizerConfig{}, Outputs: []dsl.Output{
			{Name: "tokenizer", Type: art("tokenizer")}, {Name: "vocab_size", Type: cty.Number}}},
		{Name: "mixture", Config: mixtureConfig{}, Outputs: []dsl.Output{
			{Name: "tokens", Type: art("tokens")}, {Name: "count", Type: cty.Number}}},
		{Name: "model", Config: modelConfig{}, Outputs: []dsl.Output{model, {Name: "parameters", Type: cty.Number}}},
		{Name: "pretrain", Config: pretrainConfig{}, Outputs: []dsl.Output{model, loss}},
		{Name: "ppo", Config: pretrainConfig{}, Outputs: []dsl.Output{model, {Name: "policy", Type: art("model")}, {Name: "reward", Type: cty.Number}}},
		{Name: "dpo", Config: pretrainConfig{}, Outputs: []dsl.Output{model, {Name: "margin", Type: cty.Number}}},
		{Name: "scaling_law", Config: lawConfig{}, Outputs: []dsl.Output{
			{Name: "n_layer", Type: cty.Number}, {Name: "dim", Type: cty.Number}, {Name: "good", Type: cty.Bool}}},
		{Name: "evaluate", Config: evaluateConfig{}, Outputs: []dsl.Output{
			{Name: "report", Type: art("report")}, {Name: "loss", Type: cty.Number}}},
	}
}
