package evaluate

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"athanor/steps"
	"athanor/steps/internal/llm"
)

// A measure is one figure of one model.
type measure struct {
	Task   string `json:"task"`   // of a task, or of a dataset
	Metric string `json:"metric"` // "bits_per_byte", "acc", "acc_norm", "perplexity", "exact_match"
	Items  int    `json:"items"`
	figure
	Difference *figure `json:"difference,omitempty"` // from that of the model it is set against, item by item
	Wins       *figure `json:"win_rate,omitempty"`   // share of the items that are better than that model's, equals counting half
	Ties       float64 `json:"ties,omitempty"`       // share of the items that are equal

	num, den []float64 // by item; the difference is that of their sums' ratio
	chat     bool      // it is a figure of answers
	judge    bool      // it says how good they are
}

// An item is what a model made of one line of a task, for people to look at.
type item struct {
	Model  string    `json:"model"`
	Task   string    `json:"task"`
	Query  string    `json:"query"`
	Logp   []float64 `json:"logp,omitempty"`   // of each choice, or of the last word
	Chosen *int      `json:"chosen,omitempty"` // the likeliest choice
	Text   string    `json:"text,omitempty"`   // what the model wrote, or the word to be predicted
	Right  *bool     `json:"right,omitempty"`  // of tasks that know what is right

	Ended  *bool              `json:"ended,omitempty"`  // an answer: by itself
	Points map[string]float64 `json:"points,omitempty"` // and by whom
}

// runTasks scores the model on every task.
func (e *evaluation) runTasks(ctx context.Context) error {
	c := e.config
	for i, t := range c.Choices {
		if err := e.choices(ctx, fmt.Sprintf("multiple_choice[%d]", i), t); err != nil {
			return err
		}
	}
	for i, t := range c.LastWords {
		if err := e.lastWords(ctx, fmt.Sprintf("last_word[%d]", i), t); err != nil {
			return err
		}
	}
	for i, t := range c.Generations {
		if err := e.generate(ctx, fmt.Sprintf("generate[%d]", i), t); err != nil {
			return err
		}
	}
	for i := range c.Chats {
		if err := e.converse(ctx, fmt.Sprintf("chat[%d]", i), &c.Chats[i]); err != nil {
			return err
		}
	}
	for i, n := range c.Needles {
		if err := e.needles(ctx, fmt.Sprintf("needle[%d]", i), n); err != nil {
			return err
		}
	}
	return nil
}

// choices scores a task of multiple choice as lm-evaluation-harness does: acc takes the choice with the largest
// log-likelihood, acc_norm the one with the largest by the number of its characters. Of equals the first counts. An item
// with a choice that does not fit into the context is not answered and counts as wrong, so that all models have the same
// items.
func (e *evaluation) choices(ctx context.Context, at string, t Choice) error {
	items, err := readItems[choiceItem](e.rt.Resolve(t.File), t.Limit)
	if err != nil {
		return steps.Blame(at+".file", "%w", err)
	}
	var requests []request
	unanswered := map[int]error{} // because they are too long
	for i, it := range items {
		own, err := e.choicesOf(&it, t.Delimiter)
		if err != nil {
			unanswered[i] = err
		}
		requests = append(requests, own...)
	}
	if len(requests) == 0 {
		return steps.Blame(at+".file", "none of the items fits into the context; the first: %w", unanswered[0])
	}
	answers, err := e.likelihoods(ctx, requests, false, t.Name)
	if err != nil {
		return err
	}
	var acc, norm []float64
	for i, it := range items {
		if unanswered[i] != nil {
			acc, norm = append(acc, 0), append(norm, 0)
			e.items = append(e.items, item{Model: e.Model, Task: t.Name, Query: *it.Query, Right: new(bool)})
			continue
		}
		var logp, perCharacter []float64
		for i, choice := range it.Choices {
			logp = append(logp, answers[i].Logp)
			perCharacter = append(perCharacter, answers[i].Logp/float64(utf8.RuneCountInString(choice)))
		}
		answers = answers[len(it.Choices):]
		chosen := largest(logp)
		right := chosen == *it.Gold
		acc, norm = append(acc, one(right)), append(norm, one(largest(perCharacter) == *it.Gold))
		e.items = append(e.items, item{Model: e.Model, Task: t.Name, Query: *it.Query, Logp: logp, Chosen: &chosen, Right: &right})
	}
	if n := len(unanswered); n > 0 {
		e.tell("%s%s: %d of %d items have a choice longer than the context of %d tokens: they count as wrong", e.prefix(), t.Name, n, len(items), e.scorer.Context)
	}
	e.shared(t.Name, "acc", acc)
	e.shared(t.Name, "acc_norm", norm)
	return nil
}

// choicesOf are the requests of an item.
func (e *evaluation) choicesOf(it *choiceItem, delimiter string) ([]request, error) {
	truncated := e.truncated
	var own []request
	for _, choice := range it.Choices {
		r, err := e.request(*it.Query, delimiter+choice)
		if err != nil {
			e.truncated = truncated
			return nil, err
		}
		own = append(own, r)
	}
	return own, nil
}

// lastWords scores the prediction of last words (LAMBADA, arXiv 1606.06031) as lm-evaluation-harness does: acc counts
// the words all of whose tokens are the likeliest; perplexity is exp of the mean of −log p per word.
func (e *evaluation) lastWords(ctx context.Context, at string, t LastWord) error {
	items, err := readItems[lastWordItem](e.rt.Resolve(t.File), t.Limit)
	if err != nil {
		return steps.Blame(at+".file", "%w", err)
	}
	var requests []request
	for i := range items {
		r, err := e.request(items[i].parts(t.Delimiter))
		if err != nil {
			return steps.Blame(at+".file", "%w", err)
		}
		requests = append(requests, r)
	}
	answers, err := e.likelihoods(ctx, requests, true, t.Name)
	if err != nil {
		return err
	}
	var acc, nats []float64
	for i, it := range items {
		given, predicted := it.parts(t.Delimiter)
		acc, nats = append(acc, one(answers[i].Greedy)), append(nats, -answers[i].Logp)
		e.items = append(e.items, item{
			Model: e.Model, Task: t.Name, Query: given, Text: predicted, Logp: []float64{answers[i].Logp}, Right: &answers[i].Greedy,
		})
	}
	e.shared(t.Name, "acc", acc)
	f := ratio(nats, ones(len(nats)))
	const most = 700 // of what a float64 holds the exponential of
	perplexity := math.Exp(min(f.Value, most))
	e.measured(measure{Task: t.Name, Metric: "perplexity", Items: len(nats), figure: figure{
		Value: perplexity, StdErr: min(perplexity*f.StdErr, math.MaxFloat64), Low: math.Exp(min(f.Low, most)), High: math.Exp(min(f.High, most)),
	}})
	return nil
}

// generate lets the model answer, always with the likeliest token, and counts the answers that are right.
func (e *evaluation) generate(ctx context.Context, at string, t Generation) error {
	if t.Tokens >= e.scorer.Context {
		return steps.Blame(at+".tokens", "answers of %d tokens leave no room for a query in the context of %d: lower tokens", t.Tokens, e.scorer.Context)
	}
	items, err := readItems[generationItem](e.rt.Resolve(t.File), t.Limit)
	if err != nil {
		return steps.Blame(at+".file", "%w", err)
	}
	const together = 64
	var right []float64
	for part := range slices.Chunk(items, together) {
		var prompts [][]int32
		for _, it := range part {
			ids := e.tokenizer.EncodeAppend([]int32{e.start}, *it.Query)
			if cut := len(ids) - (e.scorer.Context - t.Tokens); cut > 0 {
				ids = ids[cut:]
				e.truncated++
			}
			prompts = append(prompts, ids)
		}
		answers, err := e.model.Generate(ctx, prompts, llm.Sampling{MaxTokens: t.Tokens, Stop: e.stop}, nil)
		if err != nil {
			return err
		}
		for i, it := range part {
			ids := answers[i]
			if n := len(ids); n > 0 && slices.Contains(e.stop, ids[n-1]) {
				ids = ids[:n-1]
			}
			text := t.cut(strings.ToValidUTF8(e.tokenizer.Decode(ids), "\uFFFD"))
			ok := t.right(text, it.Answers)
			right = append(right, one(ok))
			e.items = append(e.items, item{Model: e.Model, Task: t.Name, Query: *it.Query, Text: text, Right: &ok})
		}
		e.progress(t.Name, len(right), len(items))
	}
	e.shared(t.Name, "exact_match", right)
	return nil
}

// cut ends an answer at the first of the texts that end it.
func (t *Generation) cut(text string) string {
	for _, end := range t.Until {
		if before, _, found := strings.Cut(text, end); found && end != "" {
			text = before
		}
	}
	return text
}

// right compares what the model wrote with the answers.
func (t *Generation) right(text string, answers []string) bool {
	if t.Extract != nil {
		all := regexp.MustCompile(*t.Extract).FindAllStringSubmatch(text, -1) // Check has compiled it
		if len(all) == 0 {
			return false
		}
		last := all[len(all)-1]
		text = last[min(1, len(last)-1)]
	}
	text = t.normal(text)
	return slices.ContainsFunc(answers, func(a string) bool { return t.normal(a) == text })
}

// normal removes what does not count: white space around the text, and what the block says.
func (t *Generation) normal(text string) string {
	if t.IgnoreCase {
		text = strings.ToLower(text)
	}
	if t.IgnorePunctuation {
		text = strings.Map(func(r rune) rune {
			if strings.ContainsRune("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", r) {
				return -1
			}
			return r
		}, text)
	}
	return strings.TrimSpace(text)
}

// shared enters a share of items that are right.
func (e *evaluation) shared(task, metric string, right []float64) {
	e.measured(measure{Task: task, Metric: metric, Items: len(right), figure: share(right), num: right, den: ones(len(right))})
}

// measured enters a figure.
func (e *evaluation) measured(m measure) {
	e.Measures = append(e.Measures, m)
	e.rt.Log("%s%s: %s %.4f (95 %%: %.4f to %.4f)", e.prefix(), m.Task, m.Metric, m.Value, m.Low, m.High)
	if e.truncated > 0 {
		e.tell("%s%s: %d queries are longer than the context of %d tokens: their beginnings are left out", e.prefix(), m.Task, e.truncated, e.scorer.Context)
		e.truncated = 0
	}
}

// tell warns of the first model; the others read the same queries.
func (e *evaluation) tell(format string, args ...any) {
	if e.beside {
		e.rt.Log(format, args...)
		return
	}
	e.rt.Warn(format, args...)
}

func (e *evaluation) progress(task string, done, total int) {
	e.rt.Progress(steps.Event{Done: float64(done), Total: float64(total), Unit: "items", Message: task})
}

// largest is the index of the largest value, the first of equals.
func largest(values []float64) int {
	best := 0
	for i, v := range values {
		if v > values[best] {
			best = i
		}
	}
	return best
}

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
