// Package sampling lets a model continue the prompts of a recipe, so that a person can see what the figures mean. How
// tokens are drawn is the business of steps/internal/llm; dialogues are that of steps/internal/chat.
package sampling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
)

// Config is what a sample block holds.
type Config struct {
	Prompts     []string `json:"prompts" min:"1" doc:"Beginnings of texts for the model to continue; an empty one leaves all to the model."`
	Tokens      int      `json:"tokens" default:"64" min:"1" doc:"Most tokens of each continuation."`
	Temperature float64  `json:"temperature" default:"0.8" min:"0" doc:"Divides the logits; 0 always takes the likeliest token."`
	TopK        int      `json:"top_k" default:"0" min:"0" doc:"Draw among so many of the likeliest tokens; 0: among all."`
	TopP        float64  `json:"top_p" default:"0.95" min:"0" max:"1" doc:"Draw among the likeliest tokens that together have this probability; 1: among all."`
}

// A Sample is one continuation.
type Sample struct {
	Step   int64  `json:"step,omitempty"`   // optimizer step at which it was drawn
	Tokens int64  `json:"tokens,omitempty"` // consumed in training by then
	Prompt string `json:"prompt"`
	Text   string `json:"text"`  // what the model added
	Ended  bool   `json:"ended"` // it ended the text by itself

	Score *float64 `json:"score,omitempty"` // of the answer, where something scores them
}

// Draw continues every prompt. The same model, configuration and seed give the same samples.
func Draw(ctx context.Context, m *llm.Model, t *bpe.Tokenizer, c Config, seed uint64) ([]Sample, error) {
	var start []int32
	if id, ok := t.BOS(); ok {
		start = append(start, id)
	} else if id, ok := t.EOS(); ok { // which then stands between documents
		start = append(start, id)
	}
	prompts := make([][]int32, len(c.Prompts))
	for i, p := range c.Prompts {
		prompts[i] = append(append([]int32{}, start...), t.Encode(p)...)
		if len(prompts[i]) == 0 {
			return nil, errors.New("an empty prompt needs a tokenizer with a beginning-of-text token")
		}
	}
	return Continue(ctx, m, t, c, prompts, seed)
}

// Continue is Draw for prompts that have been encoded: ids[i] stands for c.Prompts[i].
func Continue(ctx context.Context, m *llm.Model, t *bpe.Tokenizer, c Config, ids [][]int32, seed uint64) ([]Sample, error) {
	var stop []int32
	for _, end := range []func() (int32, bool){t.EOS, t.EOT} {
		if id, ok := end(); ok {
			stop = append(stop, id)
		}
	}
	answers, err := m.Generate(ctx, ids, llm.Sampling{
		MaxTokens: c.Tokens, Temperature: c.Temperature, TopK: c.TopK, TopP: c.TopP, Stop: stop, Seed: seed,
	}, nil)
	if err != nil {
		return nil, fmt.Errorf("drawing samples: %w", err)
	}
	samples := make([]Sample, len(answers))
	for i, ids := range answers {
		samples[i] = Sample{Prompt: c.Prompts[i]}
		if n := len(ids); n > 0 && slices.Contains(stop, ids[n-1]) {
			samples[i].Ended = true
			ids = ids[:n-1]
		}
		samples[i].Text = strings.ToValidUTF8(t.Decode(ids), "\uFFFD")
	}
	return samples, nil
}

// JSONL writes samples as one JSON object a line.
func JSONL(samples []Sample) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, s := range samples {
		if err := e.Encode(s); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// Markdown shows samples to a reader: each as a block of its own, its end marked ∎ if the model put it there.
func Markdown(samples []Sample) string {
	var b strings.Builder
	for _, s := range samples {
		end := " …"
		if s.Ended {
			end = " ∎"
		}
		if s.Score != nil {
			end += fmt.Sprintf(" (%.3f)", *s.Score)
		}
		fence := "```"
		for strings.Contains(s.Prompt+s.Text, fence) {
			fence += "`"
		}
		fmt.Fprintf(&b, "%s\n%s%s%s\n%s\n\n", fence, s.Prompt, s.Text, end, fence)
	}
	return b.String()
}
