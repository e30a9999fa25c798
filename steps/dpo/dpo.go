// Package dpo is the step type dpo, direct preference optimisation: it moves a chat model towards the better of two
// answers, with no reward model and no sampling.
//
// Reading pairs, packing them and reporting is steps/internal/finetune, the loop steps/internal/train. Start at [Config]
// for what may be written, at objective.go for the losses of pairs, at kto.go for that of single answers, at reference.go for what is compared with, and at run.go for
// the order of events.
package dpo

import (
	"athanor/steps"
	"athanor/steps/internal/finetune"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "dpo",
	Doc:     "Moves a chat model towards the better answers of preference pairs, or of answers marked as good and bad (DPO and its relatives).",
	Version: 7,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The aligned chat model with its tokenizer and chat template, a Hugging Face folder."},
		{Name: "report", Type: "report", Doc: "metrics.jsonl and its curves, summary.md; samples.jsonl if there is a sample block."},
		{Name: "accuracy", Type: "number", Doc: "Share of held-out pairs whose better answer has the higher implicit reward; of training pairs if none are held back. Of kto, share of the answers whose reward is on the right side of the KL term."},
		{Name: "margin", Type: "number", Doc: "Mean difference of the two rewards, or of good and bad answers, on the same examples."},
		{Name: "chosen_logp", Type: "number", Doc: "Mean log-probability of the better answers, on the same pairs. It may fall while the margin grows."},
		{Name: "loss", Type: "number", Doc: "Loss on the same pairs."},
		{Name: "train_loss", Type: "number", Doc: "Mean training loss over the last tenth of the run."},
		{Name: "pairs", Type: "number", Doc: "Pairs trained on, once per epoch; of kto, answers."},
		{Name: "dropped", Type: "map(number)", Doc: "Records that could not be trained on, by reason."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
	},
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a dpo block holds.
type Config struct {
	Model     steps.Artifact `json:"model" kind:"model" doc:"The chat model to start from."`
	Reference steps.Artifact `json:"reference" kind:"model" optional:"true" doc:"The model whose log-probabilities are compared with; left out, the model to start from. simpo and orpo have none."`
	Data      steps.Artifact `json:"data" kind:"dataset" doc:"Preferences: a dataset with the columns prompt, chosen and rejected. kto also reads dialogues with a column label, true for a good answer."`
	Epochs    int            `json:"epochs" default:"1" min:"1" doc:"Times that every pair is trained on."`
	Context   *int           `json:"context" min:"2" doc:"Most tokens of a dialogue with its answer; longer pairs are dropped and counted. Left out, the context that the model is made for."`

	Variant        string   `json:"variant" default:"\"dpo\"" one_of:"dpo,ipo,simpo,robust,orpo,kto" doc:"The loss: dpo (arXiv 2305.18290), ipo (2310.12036), simpo (2405.14734), robust (2403.00409), orpo (2403.07691), kto (2402.01306), which takes every answer by itself."`
	Beta           *float64 `json:"beta" min:"0" doc:"How strongly the model is held to the reference: less allows more. Left out: 0.1, and 2 for simpo. For orpo, the coefficient of the odds ratio, λ in the paper."`
	LabelSmoothing float64  `json:"label_smoothing" default:"0" min:"0" max:"0.49" doc:"Share of the pairs whose preference is taken to be wrong. dpo smooths its loss by it, robust takes its bias out."`
	Margin         float64  `json:"margin" default:"0.5" min:"0" doc:"simpo: by how much the better reward shall be higher."`
	LengthNorm     bool     `json:"length_normalized" default:"false" doc:"Divide the log-probability of an answer by its tokens. ipo, simpo and orpo always do, kto never."`
	MaskEnd        bool     `json:"mask_end" default:"true" doc:"Leave control tokens, above all the one that ends an answer, out of the preference: both answers have them (arXiv 2407.21783, section 4.1.4)."`
	NLL            *float64 `json:"nll" min:"0" doc:"Coefficient of the mean −log p per token of the better answer, its end included, which keeps it likely (2407.21783, section 4.1.4). Left out: 0.2, and 1 for orpo, of whose loss it is a part; kto has none."`
	GoodWeight     float64  `json:"desirable_weight" default:"1" min:"0" doc:"kto: what a good answer counts. With a of the good and b of the bad answers, the paper keeps a·desirable_weight between 1 and 1.33 times b·undesirable_weight."`
	BadWeight      float64  `json:"undesirable_weight" default:"1" min:"0" doc:"kto: what a bad answer counts."`
	ChosenDrop     float64  `json:"warn_chosen_drop" hcl:"free" default:"0.5" min:"0" doc:"Warn when the better answers have become less likely than the reference has them, by more than so many nats per token."`

	Sample *finetune.Sample `json:"sample" hcl:"block" doc:"Questions to put to the model at every evaluation."`

	finetune.Training
}

// defaultLR is the learning rate at the peak where the block has none.
const defaultLR = 1e-6

func (c *Config) settings() finetune.Settings {
	return finetune.Settings{Training: c.Training, Epochs: c.Epochs, LR: defaultLR}
}

func (c *Config) beta() float64 {
	switch {
	case c.Beta != nil:
		return *c.Beta
	case c.Variant == simpo:
		return 2
	}
	return 0.1
}

func (c *Config) nll() float64 {
	switch {
	case c.NLL != nil:
		return *c.NLL
	case c.Variant == orpo:
		return 1
	case c.Variant == kto:
		return 0
	}
	return 0.2
}

// compares reports whether the loss has a reference.
func (c *Config) compares() bool { return c.Variant != simpo && c.Variant != orpo }

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	switch {
	case c.beta() == 0:
		return steps.Blame("beta", "beta = 0 takes the preference out of the loss: raise it")
	case !c.compares() && !c.Reference.IsZero():
		return steps.Blame("reference", "%s compares with no reference: leave it out, or choose another variant", c.Variant)
	case c.LabelSmoothing > 0 && c.Variant != dpo && c.Variant != robust:
		return steps.Blame("label_smoothing", "%s knows no label_smoothing: leave it out, or take dpo or robust", c.Variant)
	case c.Variant == robust && c.LabelSmoothing == 0:
		return steps.Blame("variant", "robust without label_smoothing is dpo: say which share of the preferences is wrong")
	}
	if c.Variant == kto {
		switch {
		case c.nll() > 0:
			return steps.Blame("nll", "kto has no such term: leave nll out, or choose another variant")
		case c.LengthNorm:
			return steps.Blame("length_normalized", "kto takes the sum over an answer's tokens: leave it out, or choose another variant")
		case c.GoodWeight == 0 && c.BadWeight == 0:
			return steps.Blame("desirable_weight", "with both weights 0 there is nothing to learn: raise one")
		}
	} else if c.GoodWeight != 1 || c.BadWeight != 1 {
		return steps.Blame("variant", "desirable_weight and undesirable_weight belong to kto, and the variant is %s", c.Variant)
	}
	settings := c.settings()
	return settings.Check()
}

// estimate says what the training will need, as soon as the model's shape is known.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	var c Config
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	var work finetune.Work
	if c.compares() {
		work.Once = 1
	}
	if c.Variant == kto { // and the prompts with answers to others, for the KL term
		work = finetune.Work{Apart: true, Once: 2, EachEpoch: 1}
	}
	return finetune.Estimate(in, work)
}
