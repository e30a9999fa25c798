package reinforce

import (
	"errors"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train"
)

// Config is what the blocks of both methods hold.
type Config struct {
	Policy  steps.Artifact `json:"policy" kind:"model" doc:"The chat model to train, of an sft step. As it is at the start it is the reference too, from which the trained one shall not stray too far."`
	Data    steps.Artifact `json:"data" kind:"dataset" doc:"Prompts: a dataset with a column prompt, or dialogues or preferences, whose questions are taken."`
	Context *int           `json:"context" min:"2" doc:"Most tokens of a dialogue with its answer; prompts that leave no room for an answer are dropped and counted. Left out, the context that the model is made for."`

	reward.Config

	Iterations int       `json:"iterations" default:"100" min:"1" doc:"Rounds of sampling answers and learning from them."`
	Rollout    Rollouts  `json:"rollout" hcl:"block" doc:"How answers are sampled."`
	Update     Update    `json:"update" hcl:"block" doc:"How the answers of an iteration are learned from."`
	Optimizer  Optimizer `json:"optimizer" hcl:"block" doc:"AdamW."`

	Schedule finetune.Schedule `json:"schedule" hcl:"block" doc:"The course of the learning rate over the iterations."`
	Warn     Ranges            `json:"warn" hcl:"block" doc:"When figures look unhealthy; they change no result."`

	train.Numerics

	CheckpointEvery float64 `json:"checkpoint_every" hcl:"free" default:"60" min:"0" doc:"Seconds between two checkpoints; 0: one after every optimizer step."`
}

// Rollouts says how answers are sampled.
type Rollouts struct {
	Prompts     int     `json:"prompts" default:"64" min:"1" doc:"Prompts of one iteration."`
	Tokens      int     `json:"tokens" default:"128" min:"1" doc:"Most tokens of an answer. One that has not ended by then gets the penalty of missing_end."`
	Temperature float64 `json:"temperature" default:"1" doc:"Divides the logits, in sampling and in every log-probability of training."`
	MissingEnd  float64 `json:"missing_end" default:"1" min:"0" doc:"Taken off the score of an answer that does not end by itself."`
	System      *string `json:"system" doc:"A system message before each prompt that has none."`
	Samples     int     `json:"samples" default:"4" min:"0" doc:"Answers of each iteration that the report shows, with their scores."`
}

// Update says how an iteration's answers are learned from.
type Update struct {
	Size        int      `json:"size" default:"32" min:"1" doc:"Answers per optimizer step."`
	MicroTokens *int     `json:"micro_tokens" min:"1" doc:"Most tokens that go through a model at once: less needs less memory. By default 4096, or the longest dialogue if that is longer. It decides the rounding of sums and nothing else."`
	Bound       *float64 `json:"bound" min:"0" doc:"Leave the rest of an iteration's optimizer steps out when a step finds the policy further than this from the one that sampled, in nats per token. Left out: never."`
}

// Optimizer is AdamW (arXiv 1711.05101).
type Optimizer struct {
	LR          float64   `json:"lr" default:"3e-6" min:"0" doc:"Learning rate at the peak. Small models want more, a tiny one a hundred times as much."`
	Betas       []float64 `json:"betas" default:"[0.9, 0.999]" min:"2" max:"2" doc:"Decay rates of the two moments."`
	Eps         float64   `json:"eps" default:"1e-5" min:"0" doc:"Added to the root of the second moment; larger than elsewhere, as gradients are noisy."`
	WeightDecay float64   `json:"weight_decay" default:"0" min:"0" doc:"Decoupled weight decay."`
	GradClip    float64   `json:"grad_clip" default:"1" min:"0" doc:"Largest norm of the gradient over all weights; 0: not clipped."`
}

func (o *Optimizer) adamW() train.AdamW {
	return train.AdamW{Beta1: o.Betas[0], Beta2: o.Betas[1], Eps: o.Eps, WeightDecay: o.WeightDecay, Clip: o.GradClip}
}

// Ranges are those of healthy figures. A policy that games its reward is seen in them first.
type Ranges struct {
	KL        float64 `json:"kl" hcl:"free" default:"20" doc:"Most nats per answer from the reference."`
	Entropy   float64 `json:"entropy" hcl:"free" default:"0.05" doc:"Fewest nats per token of entropy: below it the policy gives one answer to everything."`
	Length    float64 `json:"length" hcl:"free" default:"2" min:"1" doc:"Most by which answers become longer or shorter than those of the first iteration, as a factor."`
	Truncated float64 `json:"truncated" hcl:"free" default:"0.5" doc:"Most answers that do not end by themselves, as a share."`
	Clipped   float64 `json:"clipped" hcl:"free" default:"0.4" doc:"Most tokens whose ratio is clipped, as a share."`
	Gap       float64 `json:"gap" hcl:"free" default:"0.01" doc:"Most nats per token by which sampler and trainer disagree about the same tokens."`
}

// Bounded stops a run that strays.
type Bounded struct {
	Bound *float64 `json:"bound" min:"0" doc:"Most nats per answer from the reference. A policy found beyond it ends the run, and the one before it is the result. Left out: no bound."`
}

// Check looks at what single attributes cannot say.
func (c *Config) Check() error {
	if c.Config.IsZero() {
		return steps.Blame("reward", "nothing says which answers are good: set reward to a reward model, or add a block rule")
	}
	if c.Rollout.Temperature <= 0 {
		return steps.Blame("rollout.temperature", "a temperature of %g always samples the same answer: there is nothing to learn from one alone. 1 is usual", c.Rollout.Temperature)
	}
	for _, beta := range c.Optimizer.Betas {
		if len(c.Optimizer.Betas) != 2 || beta < 0 || beta >= 1 {
			return steps.Blame("optimizer.betas", "betas are %v: two numbers of at least 0 and below 1, like [0.9, 0.999]", c.Optimizer.Betas)
		}
	}
	return c.Config.Check()
}

// defaultMicroTokens is the most tokens of a micro-batch where neither the block nor an answer says more.
const defaultMicroTokens = 4096

// micro is the most tokens of a micro-batch, for dialogues of at most longest tokens.
func (c *Config) micro(longest int) (int, error) {
	if c.Update.MicroTokens == nil {
		return max(longest, min(defaultMicroTokens, longest*c.Update.Size)), nil
	}
	if m := *c.Update.MicroTokens; m < longest {
		return 0, steps.Blame("update.micro_tokens", "micro-batches of %d tokens cannot hold the longest dialogue with its answer, of %d: raise update.micro_tokens or lower rollout.tokens", m, longest)
	}
	return *c.Update.MicroTokens, nil
}

// blame points an error at the attribute that can help.
func (c *Config) blame(err error, micro int) error {
	var diverged *train.DivergedError
	var blamed *steps.AttributeError
	switch {
	case errors.As(err, &blamed):
		return err
	case errors.As(err, &diverged):
		return steps.Blame("optimizer.lr", "%w. Lower optimizer.lr (now %g) or raise update.size; the last checkpoint is kept", err, c.Optimizer.LR)
	case errors.Is(err, gpu.ErrOutOfMemory):
		return steps.Blame("update.micro_tokens", "%w. Lower update.micro_tokens (now %d) or rollout.tokens, or train a smaller model", err, micro)
	case errors.Is(err, llm.ErrScore):
		return steps.Blame("policy", "%w. Start from the model of an sft step", err)
	}
	return err
}
