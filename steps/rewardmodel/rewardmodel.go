// Package rewardmodel is the step type reward_model: it turns a chat model into one that scores answers, from pairs of a
// better and a worse one, with the loss of Bradley and Terry.
//
// The scalar head is steps/internal/llm, reading pairs and reporting is steps/internal/finetune. Start at [Config] for
// what may be written, at objective.go for the loss and at run.go for the order of events.
package rewardmodel

import (
	"athanor/steps"
	"athanor/steps/internal/finetune"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "reward_model",
	Doc:     "Trains a model to score answers, from pairs of a better and a worse answer.",
	Version: 5,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "model", Type: "model", Doc: "The reward model with its tokenizer: a Hugging Face folder for sequence classification with one label. A score minus score_shift of its config.json is the reward."},
		{Name: "report", Type: "report", Doc: "metrics.jsonl and its curves, calibration.svg, summary.md."},
		{Name: "accuracy", Type: "number", Doc: "Share of held-out pairs whose better answer has the higher score; of training pairs if none are held back."},
		{Name: "loss", Type: "number", Doc: "Loss on the same pairs, without centring."},
		{Name: "calibration_error", Type: "number", Doc: "How far the model's confidence in its choices is from their accuracy, on the same pairs."},
		{Name: "train_loss", Type: "number", Doc: "Mean training loss over the last tenth of the run."},
		{Name: "shift", Type: "number", Doc: "Mean score of the answers of reference, which the reward has taken off."},
		{Name: "pairs", Type: "number", Doc: "Pairs trained on, once per epoch."},
		{Name: "dropped", Type: "map(number)", Doc: "Pairs that could not be trained on, by reason."},
		{Name: "parameters", Type: "number", Doc: "Weights of the model."},
	},
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a reward_model block holds.
type Config struct {
	Model      steps.Artifact `json:"model" kind:"model" doc:"The chat model to start from; its head is replaced by one that gives a number."`
	Data       steps.Artifact `json:"data" kind:"dataset" doc:"Preferences: a dataset with the columns prompt, chosen and rejected."`
	References steps.Artifact `json:"references" kind:"dataset" optional:"true" doc:"Dialogues whose answers shall have a mean reward of 0; left out, the chosen answers."`
	Epochs     int            `json:"epochs" default:"1" min:"1" doc:"Times that every pair is trained on. More than one soon learns the pairs by heart."`
	Context    *int           `json:"context" min:"2" doc:"Most tokens of a dialogue with its answer; longer pairs are dropped and counted. Left out, the context that the model is made for."`
	Margin     float64        `json:"margin" default:"0" min:"0" doc:"By how much the better score shall be higher, at least: −log σ(better − worse − margin)."`
	Centring   float64        `json:"centring" default:"0.01" min:"0" doc:"Coefficient of (better + worse)², which keeps scores near 0."`

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
	return settings.Check()
}

// estimate says what the training will need, as soon as the model's shape is known.
func estimate(in *steps.EstimateInput) (steps.Estimate, error) {
	return finetune.Estimate(in, finetune.Work{Score: true})
}
