// Package sft is the step type sft, supervised fine-tuning: it teaches a language model to answer, by next-token
// cross-entropy on what the assistant says in dialogues, the token that ends its turn included.
//
// Reading dialogues, packing them and reporting is steps/internal/finetune, the loop steps/internal/train; this package
// turns a block of the recipe into one of their runs. Start at [Config] for what may be written and at run.go for the
// order of events.
package sft

import (
	"athanor/steps"
	"athanor/steps/internal/finetune"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "sft",
	Doc:     "Fine-tunes a language model on dialogues, so that it answers as the assistant does in them.",
	Version: 7,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The chat model with its tokenizer and chat template, a Hugging Face folder."},
		{Name: "report", Type: "report", Doc: "metrics.jsonl and its curves, summary.md; samples.jsonl if there is a sample block."},
		{Name: "loss", Type: "number", Doc: "Loss on held-out dialogues in nats per token of the assistant; on training dialogues if none are held back."},
		{Name: "accuracy", Type: "number", Doc: "Share of the same tokens that the model finds likeliest."},
		{Name: "train_loss", Type: "number", Doc: "Mean training loss over the last tenth of the run."},
		{Name: "conversations", Type: "number", Doc: "Dialogues trained on, once per epoch."},
		{Name: "truncated", Type: "number", Doc: "Those of them that lost turns at their end."},
		{Name: "dropped", Type: "map(number)", Doc: "Dialogues that could not be trained on, by reason."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
	},
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what an sft block holds.
type Config struct {
	Model        steps.Artifact `json:"model" kind:"model" doc:"The model to start from."`
	Data         steps.Artifact `json:"data" kind:"dataset" doc:"Dialogues: a dataset with the column messages."`
	Epochs       int            `json:"epochs" default:"1" min:"1" doc:"Times that every dialogue is trained on; each time in another order."`
	Context      *int           `json:"context" min:"2" doc:"Most tokens of a dialogue; left out, the context that the model is made for."`
	TooLong      string         `json:"too_long" default:"\"truncate\"" one_of:"truncate,drop" doc:"What to do with a longer dialogue: leave whole turns off at its end, or drop it. One whose first answer does not fit is dropped. Both are counted."`
	ChatTemplate *string        `json:"chat_template" doc:"Layout of conversations in Jinja as Hugging Face reads it, or llama3 or chatml; left out, that of the model's tokenizer. It goes with the model."`
	ZLoss        float64        `json:"z_loss" default:"0" min:"0" doc:"Coefficient of log²Z, which keeps the logits small."`

	Sample *finetune.Sample `json:"sample" hcl:"block" doc:"Questions to put to the model at every evaluation."`

	finetune.Training
}

// defaultLR is the learning rate at the peak where the block has none.
const defaultLR = 1e-5

func (c *Config) settings() finetune.Settings {
	return finetune.Settings{Training: c.Training, Epochs: c.Epochs, LR: defaultLR}
}

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	settings := c.settings()
	if err := settings.Check(); err != nil {
		return err
	}
	return finetune.CheckTemplate(c.ChatTemplate)
}
