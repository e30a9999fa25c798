package finetune

import (
	"cmp"

	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/tokens"
)

const (
	// looked is how many documents at the beginning of a dataset are looked at to foretell the rest, and measuredOf at least
	// how many of them are measured, evenly spread: those side by side are alike.
	looked, measuredOf = 1024, 256

	// turnTokens is about how many tokens a chat template spends on a turn beside its text: those that open it, the role,
	// and the one that ends it. One more begins the conversation.
	turnTokens = 5

	// usualLength is about how many tokens a conversation has of which nothing is known.
	usualLength = 512
)

// A measure tells how many tokens each conversation of a document will have; none if the document will be dropped.
type measure func(d *corpus.Document) []int

// exactly measures with the model's own tokenizer and template.
func exactly(b *Base) measure {
	return func(d *corpus.Document) []int {
		var e Example
		var err error
		switch d.Shape() {
		case corpus.PreferenceShape, corpus.DialoguePreferenceShape:
			e, err = b.pair(d)
		default:
			e, _, err = b.dialogue(d)
		}
		if err != nil {
			return nil
		}
		var lengths []int
		for _, s := range e.Segments {
			lengths = append(lengths, len(s.IDs))
		}
		return lengths
	}
}

// roughly measures text in bytes where the model is still to come; facts are those that are known of it.
func roughly(facts map[string]float64) measure {
	conversation := func(prompt []chat.Message, answer ...string) int {
		turns, bytes := len(prompt)+len(answer), 0
		for _, m := range prompt {
			bytes += len(m.Content) + len(m.ToolCalls) + len(m.Tools)
		}
		for _, text := range answer {
			bytes += len(text)
		}
		return 1 + turns*turnTokens + int(tokens.Expect(float64(bytes), facts))
	}
	return func(d *corpus.Document) []int {
		prompt := d.Messages
		if len(prompt) == 0 {
			prompt = []chat.Message{{Role: chat.User, Content: d.Prompt}}
		}
		if d.Chosen != "" {
			return []int{conversation(prompt, d.Chosen), conversation(prompt, d.Rejected)}
		}
		return []int{conversation(prompt)}
	}
}

// ruler is the measure for what a model will read, which is exact if the model is there.
func ruler(model steps.Artifact, template *string, context int, facts map[string]float64) measure {
	if model.Path != "" {
		if b, err := open(model, template); err == nil {
			b.Context = context
			return exactly(b)
		}
	}
	return roughly(facts)
}

// expected is what is foretold of a dataset's examples.
type expected struct {
	examples, heldOut float64 // 0: not known
	conversations     float64 // of an example
	tokens            float64 // of an epoch
	segment           float64 // tokens of a conversation, in the mean over tokens; 0: not known
}

// expect foretells the examples of a dataset: from a sample of its documents if it is there, and otherwise from the size
// of its text, a fact of its estimate; facts are the model's.
func expect(data steps.Artifact, size float64, facts map[string]float64, lengths measure) expected {
	if data.Path != "" {
		if set, err := corpus.Open(data.Path); err == nil {
			return sample(set, lengths)
		}
	}
	return expected{tokens: tokens.Expect(size, facts)}
}

// sample measures some documents of a dataset. What they have in tokens for each byte, all have.
func sample(set *corpus.Dataset, lengths measure) expected {
	var bytes, sum, squares, segments, measured, kept float64
	splits := set.Stats().Splits
	every := max(1, min(looked, int(splits[corpus.Train].Documents))/measuredOf)
	n := 0
	for d, err := range set.Documents(corpus.Train) {
		if err != nil || n == looked {
			break
		}
		if n++; (n-1)%every != 0 {
			continue
		}
		measured++
		bytes += float64(d.Bytes())
		all := lengths(&d)
		if len(all) > 0 {
			kept++
		}
		segments += float64(len(all))
		for _, l := range all {
			sum += float64(l)
			squares += float64(l) * float64(l)
		}
	}
	if sum == 0 {
		return expected{}
	}
	return expected{
		examples: float64(splits[corpus.Train].Documents) * kept / measured,
		heldOut:  float64(splits[corpus.Holdout].Documents) * kept / measured,
		tokens:   float64(splits[corpus.Train].Bytes) * sum / bytes,
		segment:  squares / sum, conversations: segments / kept,
	}
}

// apart makes every conversation an example.
func (e *expected) apart() {
	e.examples, e.heldOut, e.conversations = e.examples*e.conversations, e.heldOut*e.conversations, 1
}

// length is the tokens of a conversation, in the mean over tokens; longest is the most that it can have.
func (e *expected) length(longest int) int {
	return int(min(float64(longest), cmp.Or(e.segment, usualLength)))
}

// each is the tokens of an example; 0 if that is not known.
func (e *expected) each() float64 {
	if e.examples == 0 {
		return 0
	}
	return e.tokens / e.examples
}

// evaluations is how often a training over so many epochs looks at held-out examples, and at how many.
func (e *expected) evaluations(t *Training, epochs float64) (times, examples float64) {
	total := int64(epochs * e.examples)
	interval := max(1, total/10)
	if t.Eval.Every != nil {
		interval = *t.Eval.Every
	}
	return float64((total + interval - 1) / interval), min(float64(t.Eval.Examples), cmp.Or(e.heldOut, e.examples))
}

// read is how many tokens a training reads beside those that it trains on.
func (e *expected) read(t *Training, epochs float64, work Work) float64 {
	times, examples := e.evaluations(t, epochs)
	return e.each() * (times*examples + work.Once*(e.examples+e.heldOut) + work.EachEpoch*epochs*e.examples)
}
