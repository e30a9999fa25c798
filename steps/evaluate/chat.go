package evaluate

import (
	"context"
	"fmt"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/reward"
)

// Chat is a set of questions that the models answer as chat models.
type Chat struct {
	Name     string         `json:"name" hcl:"label"`
	Data     steps.Artifact `json:"data" kind:"dataset" doc:"Prompts: a dataset with a column prompt, or dialogues or preferences, whose questions are taken."`
	Split    string         `json:"split" default:"\"holdout\"" one_of:"holdout,train" doc:"Which of its documents to ask."`
	Prompts  *int           `json:"prompts" min:"1" doc:"Most prompts, evenly spread over the split. Left out: all."`
	System   *string        `json:"system" doc:"A system message before each prompt that has none."`
	Sampling Sampling       `json:"sampling" hcl:"block" doc:"How answers are sampled. All models draw with the same random numbers."`

	reward.Config

	Reference steps.Artifact `json:"reference" kind:"model" optional:"true" doc:"A model from which the divergence of the others on their own answers is measured, in nats per answer: usually that of the sft step."`
	Repeats   int            `json:"repeats" default:"4" min:"1" doc:"An answer counts as repeated if it says so many words in a row twice."`
	Show      int            `json:"show" default:"4" min:"0" doc:"Prompts of which the summary shows the answers of all models."`
}

// Sampling says how answers are sampled.
type Sampling struct {
	Tokens      int     `json:"tokens" default:"128" min:"1" doc:"Most tokens of an answer."`
	Temperature float64 `json:"temperature" default:"1" min:"0" doc:"Divides the logits; 0 always takes the likeliest token."`
	TopK        int     `json:"top_k" default:"0" min:"0" doc:"Draw among so many of the likeliest tokens; 0: among all."`
	TopP        float64 `json:"top_p" default:"1" min:"0" max:"1" doc:"Draw among the likeliest tokens that together have this probability; 1: among all."`
}

// whole reports whether answers are drawn from all that the model holds possible, as a divergence needs.
func (s *Sampling) whole() bool { return s.Temperature > 0 && s.TopK == 0 && s.TopP == 1 }

// The figures of answers, beside those of the judges by their names.
const (
	scoreFigure    = "score"
	endedFigure    = "ended"
	lengthFigure   = "length"
	repeatedFigure = "repeated"
	klFigure       = "kl"
)

// checkChats looks at what single attributes cannot say.
func (c *Config) checkChats() error {
	taken := []string{scoreFigure, endedFigure, lengthFigure, repeatedFigure, klFigure}
	for i := range c.Chats {
		t, at := &c.Chats[i], fmt.Sprintf("chat[%d]", i)
		if err := t.Check(); err != nil {
			return steps.Within(at, err)
		}
		for n, r := range t.Rules {
			for _, name := range taken {
				if r.Name == name {
					return steps.Blame(fmt.Sprintf("%s.rule[%d]", at, n), "the name %q is taken: the answers have a figure of that name in any case", name)
				}
			}
		}
		if !t.Reference.IsZero() && !t.Sampling.whole() {
			return steps.Blame(at+".reference", "the divergence is that of a model's own answers: it needs a temperature above 0, and neither top_k nor top_p")
		}
	}
	return nil
}

// An answer is what a model said, and what is known of it.
type answer struct {
	finetune.Answer

	prompt *finetune.Prompt
	score  reward.Score
	kl     float64 // log π − log π_ref, summed over its tokens
}

// A conversation is all answers of a model to one block's prompts, for tables and figures across models.
type conversation struct {
	Task    string             `json:"task"`
	Rewards map[string]float64 `json:"reward_quantiles,omitempty"` // "p5" and others, of the reward model's scores

	chat    *Chat
	answers []answer
}

// prompts are those of a block as a model's tokenizer lays them out. All models are asked the same ones.
func (e *evaluation) prompts(ctx context.Context, at string, t *Chat, base *finetune.Base) ([]finetune.Prompt, error) {
	all, counts, err := base.Prompts(ctx, e.rt, t.Data, t.Split, t.System, t.Sampling.Tokens)
	if err != nil {
		return nil, steps.Within(at, err)
	}
	if e.first == nil {
		if counts.Kept == 0 && len(counts.Dropped) == 0 {
			return nil, steps.Blame(at+".data", "the dataset has no documents in its %s split: set holdout where it is made, or split = %q here", t.Split, corpus.Train)
		}
		if err := counts.Report(e.rt, "asked"); err != nil {
			return nil, steps.Within(at, err)
		}
	}
	most := len(all)
	if t.Prompts != nil {
		most = *t.Prompts
	}
	var some []finetune.Prompt
	for _, i := range finetune.Evenly(len(all), most) {
		some = append(some, all[i])
	}
	if e.first != nil && !sameQuestions(e.first.conversation(t.Name).answers, some) {
		return nil, steps.Blame(e.at, "it cannot be asked the questions of %s that %s is asked: with its tokenizer others leave no room for an answer. Lower sampling.tokens, or set context", t.Name, e.first.Model)
	}
	return some, nil
}

func sameQuestions(asked []answer, prompts []finetune.Prompt) bool {
	if len(asked) != len(prompts) {
		return false
	}
	for i := range asked {
		a, b := asked[i].prompt.Messages, prompts[i].Messages
		if a[len(a)-1] != b[len(b)-1] {
			return false
		}
	}
	return true
}

// conversation finds the answers to a block.
func (o *outcome) conversation(task string) *conversation {
	for i := range o.Chats {
		if o.Chats[i].Task == task {
			return &o.Chats[i]
		}
	}
	return nil
}
