package finetune

import (
	"errors"
	"slices"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/sampling"
	"athanor/steps/internal/train"
)

// Optimizer is AdamW (arXiv 1711.05101). Weight decay applies to matrices alone, not to norms and embeddings.
type Optimizer struct {
	LR          *float64  `json:"lr" min:"0" doc:"Learning rate at the peak. Left out, what suits a model of billions of parameters: 1e-5, and 1e-6 in dpo; ten times as much with lora. Small models want more, a tiny one a hundred times as much."`
	Betas       []float64 `json:"betas" default:"[0.9, 0.999]" min:"2" max:"2" doc:"Decay rates of the two moments."`
	Eps         float64   `json:"eps" default:"1e-8" min:"0" doc:"Added to the root of the second moment."`
	WeightDecay float64   `json:"weight_decay" default:"0" min:"0" doc:"Decoupled weight decay."`
	GradClip    float64   `json:"grad_clip" default:"1" min:"0" doc:"Largest norm of the gradient over all weights; 0: not clipped."`
}

// Schedule is the learning rate as a function of the examples consumed.
type Schedule struct {
	Warmup float64 `json:"warmup" default:"0.03" min:"0" max:"1" doc:"Linear warm-up, as a share of the run."`
	Shape  string  `json:"shape" default:"\"cosine\"" one_of:"cosine,linear,constant" doc:"After the warm-up: cosine or linear down to final, or constant."`
	Final  float64 `json:"final" default:"0.1" min:"0" max:"1" doc:"Learning rate at the end, as a share of the peak."`
}

// Batch is the size of the optimizer's steps.
type Batch struct {
	Size        int  `json:"size" default:"32" min:"1" doc:"Conversations, pairs, or answers of kto, per optimizer step."`
	MicroTokens *int `json:"micro_tokens" min:"1" doc:"Most tokens that go through the model at once: less needs less memory. By default 8192, or the longest example if that is longer. It decides the rounding of sums and nothing else."`
}

// Eval says when and how much is evaluated.
type Eval struct {
	Every    *int64 `json:"every" hcl:"free" min:"1" doc:"Examples between two evaluations; a tenth of the run by default. There is one at the end in any case, whose figures are the step's."`
	Examples int    `json:"examples" default:"256" min:"1" doc:"Most held-out examples; the same ones each time. If the data holds none back, they are training examples."`
}

// Sample is questions to put to the model.
type Sample struct {
	Prompts     []string `json:"prompts" min:"1" doc:"What a user says; the model answers each."`
	System      *string  `json:"system" doc:"A system message before each."`
	Tokens      int      `json:"tokens" default:"128" min:"1" doc:"Most tokens of each answer."`
	Temperature float64  `json:"temperature" default:"0.8" min:"0" doc:"Divides the logits; 0 always takes the likeliest token."`
	TopK        int      `json:"top_k" default:"0" min:"0" doc:"Draw among so many of the likeliest tokens; 0: among all."`
	TopP        float64  `json:"top_p" default:"0.95" min:"0" max:"1" doc:"Draw among the likeliest tokens that together have this probability; 1: among all."`
}

// config is the same for package sampling.
func (s *Sample) config() sampling.Config {
	return sampling.Config{Prompts: s.Prompts, Tokens: s.Tokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP}
}

// Training is the part of a block that says how to train.
type Training struct {
	Optimizer Optimizer `json:"optimizer" hcl:"block" doc:"AdamW."`
	Schedule  Schedule  `json:"schedule" hcl:"block" doc:"The course of the learning rate."`
	Batch     Batch     `json:"batch" hcl:"block" doc:"Examples per optimizer step."`
	Eval      Eval      `json:"eval" hcl:"block" doc:"Held-out figures while training."`
	LoRA      *LoRA     `json:"lora" hcl:"block" doc:"Trains adapters beside the weights instead of the weights, with a fraction of the memory. The model that comes out has them merged in; its folder adapter has them as PEFT saves them."`

	train.Numerics

	CheckpointEvery float64 `json:"checkpoint_every" hcl:"free" default:"60" min:"0" doc:"Seconds between two checkpoints; 0: one after every step."`
}

// LoRA is low-rank adaptation (arXiv 2106.09685): a matrix W stays as it is, and what is trained is B·A in
// W + (alpha/rank)·B·A.
type LoRA struct {
	Rank    int      `json:"rank" default:"16" min:"1" doc:"Rows of A and columns of B."`
	Alpha   *float64 `json:"alpha" min:"0" doc:"What the product is multiplied by, rank times over. Left out: twice the rank."`
	Targets []string `json:"targets" default:"[\"q_proj\", \"k_proj\", \"v_proj\", \"o_proj\", \"gate_proj\", \"up_proj\", \"down_proj\"]" min:"1" one_of:"q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj" doc:"The matrices that have adapters."`
}

// config is the same for package llm.
func (l *LoRA) config() llm.LoRA {
	alpha := 2 * float64(l.Rank)
	if l.Alpha != nil {
		alpha = *l.Alpha
	}
	return llm.LoRA{Rank: l.Rank, Alpha: alpha, Targets: l.Targets}
}

// Settings are all that a block says of training.
type Settings struct {
	Training
	Epochs int
	LR     float64 // where the optimizer's block has none
}

// Prepare makes a model that was just loaded ready to be trained so.
func (s *Settings) Prepare(m *llm.Model, seed uint64) error {
	if err := s.Apply(m); err != nil {
		return err
	}
	if s.LoRA == nil {
		return nil
	}
	return m.AddLoRA(s.LoRA.config(), seed)
}

// Check looks at what single attributes cannot say.
func (s *Settings) Check() error {
	for _, beta := range s.Optimizer.Betas {
		if len(s.Optimizer.Betas) != 2 || beta < 0 || beta >= 1 {
			return steps.Blame("optimizer.betas", "betas are %v: two numbers of at least 0 and below 1, like [0.9, 0.999]", s.Optimizer.Betas)
		}
	}
	if s.LoRA != nil {
		if s.LoRA.Alpha != nil && *s.LoRA.Alpha == 0 {
			return steps.Blame("lora.alpha", "alpha = 0 takes the adapters out of the model: raise it")
		}
		for i, target := range s.LoRA.Targets {
			if slices.Contains(s.LoRA.Targets[:i], target) {
				return steps.Blame("lora.targets", "%s is there twice", target)
			}
		}
	}
	return nil
}

func (s *Settings) lr() float64 {
	switch {
	case s.Optimizer.LR != nil:
		return *s.Optimizer.LR
	case s.LoRA != nil:
		return 10 * s.LR
	}
	return s.LR
}

// defaultMicroTokens is the most tokens of a micro-batch where neither the block nor an example says more.
const defaultMicroTokens = 8192

// Micro is the most tokens of a micro-batch.
func (s *Settings) Micro(examples []Example) (int, error) {
	longest := 0
	for i := range examples {
		longest = max(longest, examples[i].Len())
	}
	micro := max(longest, min(defaultMicroTokens, longest*2*s.Batch.Size))
	if s.Batch.MicroTokens != nil {
		if micro = *s.Batch.MicroTokens; micro < longest {
			return 0, steps.Blame("batch.micro_tokens", "micro-batches of %d tokens cannot hold the longest example, of %d: raise batch.micro_tokens or lower context", micro, longest)
		}
	}
	return micro, nil
}

// Loop is the training loop over examples, but for its observer.
func (s *Settings) Loop(m *llm.Model, o train.Objective, unit string, examples []Example, micro int, seed uint64) *train.Loop {
	total := int64(s.Epochs) * int64(len(examples))
	every := max(1, total/10)
	if s.Eval.Every != nil {
		every = *s.Eval.Every
	}
	tokens, length := 0, 0.0 // in all, and mean of a segment, weighted by tokens
	for i := range examples {
		for _, segment := range examples[i].Segments {
			n := len(segment.IDs)
			tokens += n
			length += float64(n) * float64(n)
		}
	}
	perToken := m.Config.FLOPsPerToken(int(length / float64(tokens)))
	return &train.Loop{
		Device: m.Device(), Model: m, Objective: o, Unit: unit,
		Source: &Source{Examples: examples, Micro: micro, Seed: seed},
		AdamW: train.AdamW{
			Beta1: s.Optimizer.Betas[0], Beta2: s.Optimizer.Betas[1], Eps: s.Optimizer.Eps,
			WeightDecay: s.Optimizer.WeightDecay, Clip: s.Optimizer.GradClip,
		},
		Schedule: train.Schedule{
			Peak: s.lr(), Warmup: int64(s.Schedule.Warmup * float64(total)), Total: total,
			Shape: train.Shape(s.Schedule.Shape), Final: s.Schedule.Final,
		},
		Batches: train.Batches{Tokens: int64(s.Batch.Size), Total: total}, Micro: micro,
		CheckpointEvery: time.Duration(s.CheckpointEvery * float64(time.Second)),
		FLOPsPerToken:   perToken * float64(tokens) / float64(len(examples)),
		ObserveEvery:    every,
	}
}

// Blame points an error of training at the attribute that can help.
func (s *Settings) Blame(err error, micro int) error {
	var diverged *train.DivergedError
	switch {
	case errors.As(err, &diverged):
		return steps.Blame("optimizer.lr", "%w. Lower optimizer.lr (now %g) or lengthen schedule.warmup; the last checkpoint is kept", err, s.lr())
	case errors.Is(err, gpu.ErrOutOfMemory):
		return steps.Blame("batch.micro_tokens", "%w. Lower batch.micro_tokens (now %d), lower context, or train a smaller model", err, micro)
	case errors.Is(err, llm.ErrScore):
		return steps.Blame("model", "%w. Start from the model of an sft step", err)
	case errors.Is(err, train.ErrNothingToLearn):
		return steps.Blame("data", "%w", err)
	}
	return err
}
