// Package corpus keeps datasets on disk: documents in Parquet files under the column names of Hugging Face, and
// stats.json beside them, which says where they came from in figures.
//
//	DIR/train-00000.parquet    zstd; the columns of one [Shape]
//	DIR/holdout-00000.parquet  the same for the documents kept back, if there are any
//	DIR/stats.json             [Stats]
//
// Any tool that reads Parquet opens such a folder. The same documents give the same bytes.
//
// Start at [Open] to read and at [Create] to write. Where documents come from and which are kept is the business of
// steps/dataset; turning them into token ids is that of steps/mixture.
package corpus

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"strconv"
)

// The two splits of a dataset.
const (
	Train   = "train"
	Holdout = "holdout"
)

// A Shape says which columns the documents of a dataset have.
type Shape string

const (
	TextShape       Shape = "text"       // text
	MessagesShape   Shape = "messages"   // messages: a list of {role, content}
	PromptShape     Shape = "prompt"     // prompt
	PreferenceShape Shape = "preference" // prompt, chosen, rejected

	// DialoguePreferenceShape has the columns prompt, chosen and rejected too, each a list of messages: the dialogue so
	// far, and two answers of one message each.
	DialoguePreferenceShape Shape = "dialogue_preference"

	LabelledShape Shape = "labelled" // messages, and label: whether the last of them is a good answer
)

// A Message is one turn of a dialogue.
type Message struct {
	Role      string `json:"role"`
	Content   string `json:"content"`
	ToolCalls JSON   `json:"tool_calls,omitempty"` // of the assistant: a list of {"type": "function", "function": {"name", "arguments"}}

	// Tools are what can be called in the dialogue that the message is in: a list of {"type": "function", "function": …}.
	// They stand at one of its messages, the first as a rule, so that they go where the messages go.
	Tools JSON `json:"tools,omitempty"`
}

// JSON is a value as JSON text, "" for none. The order of keys and the way numbers are written are those of its source.
type JSON string

// MarshalJSON implements json.Marshaler.
func (j JSON) MarshalJSON() ([]byte, error) { return []byte(j), nil }

// UnmarshalJSON implements json.Unmarshaler.
func (j *JSON) UnmarshalJSON(data []byte) error {
	*j = JSON(data)
	return nil
}

// A Document is one record of a dataset. Which fields count is said by its Shape; the others are zero. Of a
// DialoguePreferenceShape the messages are the dialogue that Chosen and Rejected answer.
type Document struct {
	Text     string
	Messages []Message
	Prompt   string
	Chosen   string
	Rejected string
	Label    *bool

	// What [CreateAnswers] and [CreateJudged] write beside those.
	Sampled   bool     // a model has given the last answer: there is a column reference
	Reference string   // of messages: the answer that the prompt's source has; "" if it has none
	Score     *float64 // of messages: how good the last one is; nil where nothing scored it
	Verdict   *Verdict // of a preference
}

// A Verdict says how a preference came about.
type Verdict struct {
	ChosenScore, RejectedScore   float64
	ChosenSource, RejectedSource string // what gave the answer
}

// Shape tells which columns the document has; where there are several kinds, preferences about a dialogue come first,
// messages before other preferences, those before text, and text before a lone prompt.
func (d *Document) Shape() Shape {
	switch {
	case len(d.Messages) > 0 && d.Chosen != "" && d.Rejected != "":
		return DialoguePreferenceShape
	case len(d.Messages) > 0 && d.Label != nil:
		return LabelledShape
	case len(d.Messages) > 0:
		return MessagesShape
	case d.Chosen != "" && d.Rejected != "":
		return PreferenceShape
	case d.Text == "" && d.Prompt != "":
		return PromptShape
	}
	return TextShape
}

// Only returns the document with the columns of one shape and no other.
func (d *Document) Only(shape Shape) Document {
	switch shape {
	case DialoguePreferenceShape:
		return Document{Messages: d.Messages, Chosen: d.Chosen, Rejected: d.Rejected}
	case MessagesShape:
		return Document{Messages: d.Messages}
	case LabelledShape:
		return Document{Messages: d.Messages, Label: d.Label}
	case PreferenceShape:
		return Document{Prompt: d.Prompt, Chosen: d.Chosen, Rejected: d.Rejected}
	case PromptShape:
		return Document{Prompt: d.Prompt}
	}
	return Document{Text: d.Text}
}

// Question is what the user first asks, in a document of any shape but text; "" if nobody asks.
func (d *Document) Question() string {
	for _, m := range d.Messages {
		if m.Role == "user" {
			return m.Content
		}
	}
	return d.Prompt
}

// Strings calls yield with every string of the document, in the order of the columns; roles are not among them.
func (d *Document) Strings(yield func(string) bool) {
	for _, s := range [...]string{d.Text, d.Prompt, d.Chosen, d.Rejected} {
		if s != "" && !yield(s) {
			return
		}
	}
	for _, m := range d.Messages {
		if !yield(m.Content) || m.ToolCalls != "" && !yield(string(m.ToolCalls)) || m.Tools != "" && !yield(string(m.Tools)) {
			return
		}
	}
}

// Bytes is the length of the document's content in UTF-8; the roles of messages are not content.
func (d *Document) Bytes() int {
	n := len(d.Text) + len(d.Prompt) + len(d.Chosen) + len(d.Rejected)
	for _, m := range d.Messages {
		n += len(m.Content) + len(m.ToolCalls) + len(m.Tools)
	}
	return n
}

// Hash is the SHA-256 of the document's shape and strings, each with its length before it. Equal documents, and only
// they, have equal hashes.
func (d *Document) Hash() [sha256.Size]byte {
	h := sha256.New()
	var length [8]byte
	add := func(s string) {
		binary.LittleEndian.PutUint64(length[:], uint64(len(s)))
		h.Write(length[:])
		h.Write([]byte(s))
	}
	for _, s := range [...]string{string(d.Shape()), d.Text, d.Prompt, d.Chosen, d.Rejected} {
		add(s)
	}
	for _, m := range d.Messages {
		add(m.Role)
		add(m.Content)
		if m.ToolCalls != "" || m.Tools != "" { // what was hashed before there were calls keeps its hash
			binary.LittleEndian.PutUint64(length[:], math.MaxUint64) // no string is so long: it is no further message
			h.Write(length[:])
			add(string(m.ToolCalls))
			add(string(m.Tools))
		}
	}
	if d.Label != nil {
		add(strconv.FormatBool(*d.Label))
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return sum
}

// Stats is what stats.json holds. Counts that are zero are left out of its maps, so that a filter that drops nothing
// changes no byte of a dataset.
type Stats struct {
	Shape        Shape            `json:"shape"`
	Records      int64            `json:"records"`                 // read from the sources, bad ones included
	Kept         int64            `json:"kept"`                    // written: the documents of all splits
	Dropped      map[string]int64 `json:"dropped"`                 // by the filter that dropped them
	Duplicates   int64            `json:"duplicates"`              // exact copies of an earlier document
	LinesRemoved int64            `json:"lines_removed,omitempty"` // from documents that stay, because they stand too often
	BeyondLimit  int64            `json:"beyond_limit,omitempty"`  // looked at, and more than the limit asks for
	Needles      int64            `json:"needles,omitempty"`       // facts planted, each of them twice or more
	BadRecords   int64            `json:"bad_records"`             // that could not be read as a document
	BadExamples  []string         `json:"bad_examples,omitempty"`  // the first few of them, with the reason
	Splits       map[string]Split `json:"splits"`                  // filled in by the Writer
}

// A Split is one part of a dataset.
type Split struct {
	Files     []string `json:"files"`
	Documents int64    `json:"documents"`
	Bytes     int64    `json:"bytes"` // of content, in UTF-8
}
