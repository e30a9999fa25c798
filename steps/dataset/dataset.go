// Package dataset is the step type dataset: it gathers documents from files, JSON lines, Parquet and programs, filters
// them, drops copies, keeps a share back for evaluation, and writes them as Parquet.
//
// The work is one pipeline of three stages: a reader goes through the sources in order, several workers parse and
// filter, and a merger takes their results in the reader's order, so that the output does not depend on how many
// workers there are. What needs all documents to be known, near-copies and common lines, is decided and written in a
// second way through them, from a scratch file (second.go). Beside the dataset stands a report of what was dropped.
//
// Start at [Type] for what may be written, at run.go for the stages, at screen.go for what each document goes through; the
// format on disk is steps/internal/corpus.
package dataset

import (
	"fmt"
	"regexp"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/minhash"
)

// Type is the step type.
var Type = steps.Type{
	Name:    "dataset",
	Doc:     "Gathers documents from files, JSON lines, Parquet and programs; filters, deduplicates, and holds a share back.",
	Version: 9,
	Config:  Config{},
	Outputs: []steps.Output{
		{Name: "dataset", Type: "dataset", Doc: "The documents as Parquet, with stats.json."},
		{Name: "report", Type: "report", Doc: "What was dropped and why, to look at: summary.md, examples.jsonl, and decontaminated.jsonl where that is asked for."},
		{Name: "documents", Type: "number", Doc: "Documents to train on."},
		{Name: "bytes", Type: "number", Doc: "Their text, in bytes of UTF-8."},
		{Name: "holdout_documents", Type: "number", Doc: "Documents held back."},
		{Name: "holdout_bytes", Type: "number", Doc: "Their text, in bytes of UTF-8."},
		{Name: "dropped", Type: "map(number)", Doc: "Records dropped, by the filter that dropped them; every filter is there, and duplicate and bad."},
	},
	Files:    files,
	Check:    check,
	Estimate: estimate,
	Run:      run,
}

// Config is what a dataset block holds. Sources are read in the order files, jsonl, parquet, program, and those of one
// kind in the order of the recipe.
type Config struct {
	Files   []FileSource    `json:"files" hcl:"block" doc:"Text files. Compressed ones (gzip, zstd) are read as they are; so everywhere."`
	JSONL   []RecordSource  `json:"jsonl" hcl:"block" doc:"Files with one JSON object a line, or one JSON list of objects."`
	Parquet []RecordSource  `json:"parquet" hcl:"block" doc:"Parquet files."`
	Program []ProgramSource `json:"program" hcl:"block" doc:"A program that prints one JSON object a line."`

	Filter Filter `json:"filter" hcl:"block" doc:"What a document must be like to be kept."`
	Dedup  *Dedup `json:"dedup" hcl:"block" doc:"Drops copies. Absent: all documents are kept."`

	Decontaminate *Decontaminate `json:"decontaminate" hcl:"block" doc:"Drops documents that hold a piece of an evaluation set."`

	Needles *Needles `json:"needles" hcl:"block" doc:"Facts planted in the documents to train on, each of them twice or more, so that a model learns to look back for it: practice for the needle test of evaluate and extend_context, with none of its facts. Held-out documents stay as they are."`

	Holdout float64 `json:"holdout" default:"0" min:"0" max:"0.5" doc:"Share of the documents to hold back. A document's own content decides, so those held back stay so when others are added; of dialogues, prompts and preferences the first question does, so that two datasets hold the same questions back."`
	MaxBad  float64 `json:"max_bad" default:"0.01" min:"0" max:"1" doc:"Share of the records that may be unreadable; they are counted and shown in stats.json."`
	Limit   Limit   `json:"limit" hcl:"block" doc:"Where to stop."`
}

// A FileSource reads text files.
type FileSource struct {
	Include   []string `json:"include" hcl:"path" min:"1" doc:"Patterns of the files to read: * and ? within a name, ** across folders, {a,b}, [a-z]. Wildcards pass over hidden files."`
	Exclude   []string `json:"exclude" hcl:"path" optional:"true" doc:"Patterns of files to leave out; one without a slash is matched against the file's name."`
	Separator *string  `json:"separator" doc:"Text that stands between two documents. Absent: each file is one."`
}

// A RecordSource reads files of records.
type RecordSource struct {
	Include []string `json:"include" hcl:"path" min:"1" doc:"Patterns of the files to read."`
	Exclude []string `json:"exclude" hcl:"path" optional:"true" doc:"Patterns of files to leave out."`
	Columns Columns  `json:"columns" hcl:"block" doc:"The columns to read where they have other names than usual."`
}

// A ProgramSource reads what a program prints.
type ProgramSource struct {
	Command []string `json:"command" min:"1" doc:"The program and its arguments, run in the pipeline's folder without a shell. Each line of its standard output is one JSON object."`
	Inputs  []string `json:"inputs" hcl:"path" optional:"true" doc:"Patterns of the files that it reads: when their content changes it runs again. Arguments that are files count by themselves, and so do folders below the pipeline's."`
	Columns Columns  `json:"columns" hcl:"block" doc:"The columns to read where they have other names than usual."`
}

// Columns says where a record keeps what. If any of text, messages, prompt, completion, chosen and rejected is set, no
// others are read; otherwise each record is taken as a preference (chosen and rejected), a dialogue (messages, ShareGPT's
// conversations, prompt and completion, or Alpaca's instruction and output), a text or a prompt, whichever it has first. A
// dialogue beside which a label is true or false is one with a label.
// Parquet files show ShareGPT's and Alpaca's columns only where they are set.
type Columns struct {
	Text     *string           `json:"text" doc:"Column of a text."`
	Messages *string           `json:"messages" doc:"Column of a list of messages. Their tool_calls are kept, and what a column tools beside them lists: the chat template lays both out."`
	Role     *string           `json:"role" doc:"Within a message, who speaks."`
	Content  *string           `json:"content" doc:"Within a message, what is said."`
	Roles    map[string]string `json:"roles" doc:"Renames roles: { human = \"user\", gpt = \"assistant\" }."`
	Prompt   *string           `json:"prompt" doc:"Column of a prompt: a text, or a list of messages."`
	Input    *string           `json:"input" doc:"Column of what the prompt is about, which follows it after an empty line."`
	Answer   *string           `json:"completion" doc:"Column of the answer: with prompt it makes a dialogue of two messages."`
	Chosen   *string           `json:"chosen" doc:"Column of the better answer."`
	Rejected *string           `json:"rejected" doc:"Column of the worse answer."`
	Label    *string           `json:"label" doc:"Column of true or false: whether the dialogue ends with a good answer, for kto."`
}

// Filter holds the filters, in the order in which they are applied; drop_matching comes last. Characters are Unicode code
// points.
type Filter struct {
	Rules            []string `json:"rules" optional:"true" one_of:"gopher,gopher_repetition,fineweb" doc:"Published sets of limits, meant for English prose; single settings override theirs. gopher: min_words 50, max_words 100000, min_mean_word_chars 3, max_mean_word_chars 10, max_symbols_per_word 0.1, max_bullet_lines 0.9, max_ellipsis_lines 0.3, min_words_with_letter 0.8, min_stop_words 2. gopher_repetition: max_repeated_lines 0.2, max_duplicate_lines 0.3, max_duplicate_paragraphs 0.3, max_repeated_paragraphs 0.2, max_top_ngrams { 2 = 0.2, 3 = 0.18, 4 = 0.16 }, max_repeated_ngrams { 5 = 0.15, 6 = 0.14, 7 = 0.13, 8 = 0.12, 9 = 0.11, 10 = 0.1 }. fineweb: min_punctuated_lines 0.12, max_short_lines 0.67, max_repeated_lines 0.01, max_newlines_per_word 0.3. Where two sets limit the same, the smaller limit holds."`
	InvalidUTF8      string   `json:"invalid_utf8" default:"\"drop\"" one_of:"drop,replace" doc:"What to do with text that is not UTF-8: drop the document, or put U+FFFD where it is wrong."`
	MinChars         *int     `json:"min_chars" min:"1" doc:"Fewest characters."`
	MaxChars         *int     `json:"max_chars" min:"1" doc:"Most characters."`
	MaxLineChars     *int     `json:"max_line_chars" min:"1" doc:"Most characters of the longest line; minified code and data have long ones."`
	MaxRun           *int     `json:"max_run" min:"1" doc:"Most times that one character other than white space may follow itself."`
	MinAlpha         *float64 `json:"min_alpha" min:"0" max:"1" doc:"Smallest share of letters, of any script, among the characters other than white space."`
	MaxRepeatedLines *float64 `json:"max_repeated_lines" min:"0" max:"1" doc:"Largest share of the text that may be in lines equal to an earlier one; blank lines do not count."`
	DropMatching     []string `json:"drop_matching" optional:"true" doc:"Regular expressions (RE2) of which none may match anywhere in the text."`

	Repetition
	Prose
}

// Dedup says which copies to drop: first exact ones, then near ones, then lines. For near and lines all is read before
// anything is written, with scratch space of about the size of the text.
type Dedup struct {
	Exact bool `json:"exact" default:"true" doc:"Drop a document that equals an earlier one byte for byte."`

	Near    *float64 `json:"near" min:"0" max:"1" doc:"Drop a document whose likeness to an earlier one that stays is at least this: what their runs of ngram words have in common, over all that either has (Jaccard). Pairs are looked for by MinHash: one of likeness s is found with probability 1-(1-s^hashes)^buckets. Usual: 0.8."`
	Ngram   int      `json:"ngram" default:"5" min:"1" doc:"Words in a run, for near."`
	Buckets int      `json:"buckets" default:"14" min:"1" max:"1000" doc:"Buckets that near compares; more find more."`
	Hashes  int      `json:"hashes" default:"8" min:"1" max:"1000" doc:"MinHashes that must agree in a bucket; more spare comparisons of what is less alike."`

	Lines        *int64 `json:"lines" min:"1" doc:"Remove every line that stands more than so often in all documents together, white space at its ends left aside. Llama 3: 6, for 30 million documents. Only for documents with a text; those of which nothing is left are dropped."`
	MinLineChars int    `json:"min_line_chars" default:"0" min:"0" doc:"Shortest line, in characters, that lines may remove; code needs one, such as 40, to keep its braces."`

	Memory int64 `json:"memory" hcl:"free" default:"256" min:"1" doc:"MiB for sorting; what does not fit goes to disk. It changes no result. Besides, a document takes about 50 bytes of memory."`
}

// second reports whether the documents are gone through a second time.
func (d *Dedup) second() bool { return d != nil && (d.Near != nil || d.Lines != nil) }

// Decontaminate names the evaluation sets.
type Decontaminate struct {
	Against []steps.Artifact `json:"against" kind:"dataset" min:"1" doc:"Evaluation sets; all their documents count, also those held back."`
	Ngram   int              `json:"ngram" default:"13" min:"1" doc:"A document is dropped that shares so many words in a row with a text of an evaluation set, punctuation and case left aside; or that equals a shorter one."`

	MaxFound float64 `json:"max_found" default:"0.5" min:"0" max:"1" doc:"Largest share of a set's documents that may be found in the data: if more are, and they are ten or more, the set itself is among the sources, and the step fails. 1: what is found is dropped, however much it is."`
}

// Limit says how much is kept, held-out documents included. The reading ends there, unless dedup has to see everything.
type Limit struct {
	Documents *int64 `json:"documents" min:"1" doc:"Most documents."`
	Bytes     *int64 `json:"bytes" min:"1" doc:"Most bytes of text."`
}

// leastFound is the least share of pairs at the threshold that near must find: below, the setting promises what it does
// not keep.
const leastFound = 0.5

// check looks at what single attributes cannot say.
func check(s *steps.Spec) error {
	var c Config
	if err := s.Decode(&c); err != nil {
		return err
	}
	if len(c.Files)+len(c.JSONL)+len(c.Parquet)+len(c.Program) == 0 {
		return steps.Blame("files", "the dataset has no source: it needs a block files, jsonl, parquet or program")
	}
	for i, f := range c.Files {
		if f.Separator != nil && *f.Separator == "" {
			return steps.Blame(fmt.Sprintf("files[%d].separator", i), "an empty text separates nothing: leave separator out for one document per file")
		}
	}
	for path, columns := range c.columns() {
		if _, err := columns.shape(); err != nil {
			return steps.Blame(path, "%w", err)
		}
	}
	if f := c.Filter; f.MinChars != nil && f.MaxChars != nil && *f.MinChars > *f.MaxChars {
		return steps.Blame("filter.min_chars", "min_chars = %d is more than max_chars = %d: no document can be both", *f.MinChars, *f.MaxChars)
	}
	f := c.Filter.withRules()
	for _, check := range []func() (string, error){f.Repetition.check, f.Prose.check} {
		if setting, err := check(); err != nil {
			return steps.Blame("filter."+setting, "%w", err)
		}
	}
	if d := c.Dedup; d != nil && d.Near != nil {
		if p := minhash.Probability(*d.Near, d.Buckets, d.Hashes); p < leastFound {
			return steps.Blame("dedup.near", "%d buckets of %d hashes find a pair of likeness %g with probability %.2f only: set more buckets or fewer hashes",
				d.Buckets, d.Hashes, *d.Near, p)
		}
	}
	if c.Needles != nil {
		if err := c.Needles.Check(); err != nil {
			return steps.Within("needles", err)
		}
	}
	for i, pattern := range c.Filter.DropMatching {
		if _, err := regexp.Compile(pattern); err != nil {
			return steps.Blame(fmt.Sprintf("filter.drop_matching[%d]", i), "%w", err)
		}
	}
	return nil
}

// columns yields every columns block with its path, in order.
func (c *Config) columns() func(yield func(string, *Columns) bool) {
	return func(yield func(string, *Columns) bool) {
		for i := range c.JSONL {
			if !yield(fmt.Sprintf("jsonl[%d].columns", i), &c.JSONL[i].Columns) {
				return
			}
		}
		for i := range c.Parquet {
			if !yield(fmt.Sprintf("parquet[%d].columns", i), &c.Parquet[i].Columns) {
				return
			}
		}
		for i := range c.Program {
			if !yield(fmt.Sprintf("program[%d].columns", i), &c.Program[i].Columns) {
				return
			}
		}
	}
}

// shape is the one that the set columns make; empty if none is set and each record decides.
func (c *Columns) shape() (corpus.Shape, error) {
	switch preference := c.Chosen != nil || c.Rejected != nil; {
	case c.Text != nil && (c.Messages != nil || c.Prompt != nil || c.Answer != nil || preference),
		c.Messages != nil && (c.Prompt != nil || c.Answer != nil || preference),
		c.Answer != nil && preference:
		return "", fmt.Errorf("a document is one of: text; messages; prompt and completion; prompt, chosen and rejected; prompt: set the columns of one of them")
	case c.Label != nil && (c.Text != nil || preference):
		return "", fmt.Errorf("a label belongs to a dialogue: set messages, or prompt and completion, beside it")
	case c.Input != nil && c.Prompt == nil:
		return "", fmt.Errorf("input follows a prompt: set the column prompt as well")
	case c.Text != nil:
		return corpus.TextShape, nil
	case c.Label != nil:
		return corpus.LabelledShape, nil
	case c.Messages != nil, c.Answer != nil:
		return corpus.MessagesShape, nil
	case preference:
		return corpus.PreferenceShape, nil
	case c.Prompt != nil:
		return corpus.PromptShape, nil
	}
	return "", nil
}
