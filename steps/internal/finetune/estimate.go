package finetune

import (
	"errors"

	"athanor/steps"
	"athanor/steps/internal/train"
)

// Work is what a step does with its data, as far as its time depends on it.
type Work struct {
	Score bool // the model gets a scalar head
	Apart bool // each answer of a pair is an example by itself

	// Passes that only read: over all examples once, for a reference, and over those trained on in every epoch.
	Once, EachEpoch float64
}

// Estimate says what training a model of the upstream's shape needs, as soon as that is known.
func Estimate(in *steps.EstimateInput, work Work) (steps.Estimate, error) {
	var known struct {
		Model    steps.Artifact `json:"model"`
		Data     steps.Artifact `json:"data"`
		Template *string        `json:"chat_template"`
		Context  *int           `json:"context"`
		Epochs   float64        `json:"epochs"`
		Training
	}
	if err := in.Spec.Decode(&known); err != nil {
		return steps.Estimate{}, err
	}
	up := in.Upstream["model"]
	c, ok := train.Architecture(up.Facts)
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the model is not known yet")
	}
	longest := c.MaxPositionEmbeddings
	if known.Context != nil {
		longest = *known.Context
	}
	e := expect(known.Data, in.Upstream["data"].Facts["bytes"], up.Facts, ruler(known.Model, known.Template, longest, up.Facts))
	if work.Apart {
		e.apart()
	}
	if work.Score {
		c = c.Scoring()
	}
	micro := max(defaultMicroTokens, longest)
	perToken := c.FLOPsPerToken(e.length(longest))
	training := &steps.Training{
		Context: longest, Segment: int(e.segment), BatchTokens: int64(float64(known.Batch.Size) * e.each()), MicroTokens: micro,
		Trained: 1, Precision: known.Precision, Score: c.Score,
		ReadFLOPs: e.read(&known.Training, known.Epochs, work) * perToken / 3,
	}
	memory := c.TrainingMemory(micro)
	if known.LoRA != nil {
		memory = known.LoRA.config().TrainingMemory(c, micro)
		training.Adapters = known.LoRA.config().Parameters(c)
	}
	seen := known.Epochs * e.tokens
	return steps.Estimate{
		Parameters: c.Parameters(), Tokens: int64(seen), FLOPs: seen * perToken, Memory: memory, Facts: up.Facts, Training: training,
	}, nil
}
