package evaluate

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"athanor/steps"
)

// Choice is a task of multiple choice, scored by log-likelihood.
type Choice struct {
	Name      string `json:"name" hcl:"label"`
	File      string `json:"file" hcl:"path" doc:"Lines of JSON: {\"query\": text, \"choices\": [texts], \"gold\": index of the right one, from 0}. A name that ends in .gz is read through gzip."`
	Delimiter string `json:"delimiter" default:"\" \"" doc:"What stands between the query and a choice."`
	Limit     *int   `json:"limit" min:"1" doc:"Read the first so many lines. Left out: all."`
}

// LastWord is a task of predicting the last word of texts, or another continuation that is known.
type LastWord struct {
	Name      string `json:"name" hcl:"label"`
	File      string `json:"file" hcl:"path" doc:"Lines of JSON: {\"text\": text}, whose last word is what follows the last space, or {\"context\": text, \"continuation\": text}. A name that ends in .gz is read through gzip."`
	Delimiter string `json:"delimiter" default:"\" \"" doc:"What stands between a context and its continuation."`
	Limit     *int   `json:"limit" min:"1" doc:"Read the first so many lines. Left out: all."`
}

// Generation is a task of writing answers that are compared with the right ones.
type Generation struct {
	Name              string   `json:"name" hcl:"label"`
	File              string   `json:"file" hcl:"path" doc:"Lines of JSON: {\"query\": text, \"answers\": [texts, any of which is right]}. A name that ends in .gz is read through gzip."`
	Tokens            int      `json:"tokens" default:"64" min:"1" doc:"Most tokens of an answer."`
	Until             []string `json:"until" default:"[\"\\n\"]" doc:"Texts that end an answer, beside the model's own end."`
	Extract           *string  `json:"extract" doc:"A regular expression that finds the answer in what the model wrote: its last match, or the first group of that."`
	IgnoreCase        bool     `json:"ignore_case" default:"false" doc:"Upper and lower case are the same."`
	IgnorePunctuation bool     `json:"ignore_punctuation" default:"false" doc:"Punctuation of ASCII does not count."`
	Limit             *int     `json:"limit" min:"1" doc:"Read the first so many lines. Left out: all."`
}

// choiceItem, lastWordItem and generationItem are lines of the files.
type choiceItem struct {
	Query   *string  `json:"query"`
	Choices []string `json:"choices"`
	Gold    *int     `json:"gold"`
}

func (i choiceItem) problem() string {
	switch {
	case i.Query == nil:
		return "it has no query"
	case len(i.Choices) < 2:
		return fmt.Sprintf("it has %d choices: at least 2", len(i.Choices))
	case i.Gold == nil || *i.Gold < 0 || *i.Gold >= len(i.Choices):
		return fmt.Sprintf("gold must be the index of one of its %d choices, from 0", len(i.Choices))
	}
	for _, c := range i.Choices {
		if c == "" {
			return "one of its choices is empty"
		}
	}
	return ""
}

type lastWordItem struct {
	Text         string  `json:"text"`
	Context      *string `json:"context"`
	Continuation string  `json:"continuation"`
}

func (i lastWordItem) problem() string {
	switch {
	case i.Context != nil && i.Continuation == "":
		return "it has a context and no continuation"
	case i.Context == nil && strings.LastIndexByte(strings.TrimSpace(i.Text), ' ') < 0:
		return "its text has no two words with a space between them"
	}
	return ""
}

// parts returns what is given and what is to be predicted.
func (i lastWordItem) parts(delimiter string) (given, predicted string) {
	if i.Context != nil {
		return *i.Context, delimiter + i.Continuation
	}
	text := strings.TrimSpace(i.Text)
	space := strings.LastIndexByte(text, ' ')
	return text[:space], text[space:]
}

type generationItem struct {
	Query   *string  `json:"query"`
	Answers []string `json:"answers"`
}

func (i generationItem) problem() string {
	switch {
	case i.Query == nil:
		return "it has no query"
	case len(i.Answers) == 0:
		return "it has no answers"
	}
	return ""
}

// readItems reads the lines of a file, at most limit of them.
func readItems[T interface{ problem() string }](path string, limit *int) ([]T, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var items []T
	for number, line := range bytes.Split(data, []byte("\n")) {
		if limit != nil && len(items) == *limit {
			break
		}
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		d := json.NewDecoder(bytes.NewReader(line))
		var item T
		if err := d.Decode(&item); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, number+1, err)
		}
		if _, err := d.Token(); err != io.EOF {
			return nil, fmt.Errorf("%s, line %d: more than one JSON value", path, number+1)
		}
		if problem := item.problem(); problem != "" {
			return nil, fmt.Errorf("%s, line %d: %s", path, number+1, problem)
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return nil, fmt.Errorf("%s holds no items", path)
	}
	return items, nil
}

// readFile reads a file, through gzip if its name says so.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !strings.HasSuffix(path, ".gz") {
		return io.ReadAll(f)
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return data, nil
}

// A namedTask is what all kinds of tasks have in common; those without a file have none.
type namedTask struct{ path, name, file string }

// tasks lists the tasks of the block in the order in which their files are read.
func (c *Config) tasks() []namedTask {
	var list []namedTask
	for i, t := range c.Choices {
		list = append(list, namedTask{fmt.Sprintf("multiple_choice[%d]", i), t.Name, t.File})
	}
	for i, t := range c.LastWords {
		list = append(list, namedTask{fmt.Sprintf("last_word[%d]", i), t.Name, t.File})
	}
	for i, t := range c.Generations {
		list = append(list, namedTask{fmt.Sprintf("generate[%d]", i), t.Name, t.File})
	}
	return list
}

// files lists what is read from outside the recipe.
func files(s *steps.Spec) ([]string, error) {
	var c Config
	if err := s.Decode(&c); err != nil {
		return nil, err
	}
	var list []string
	for _, t := range c.tasks() {
		path := s.Resolve(t.file)
		if info, err := os.Stat(path); err != nil {
			return nil, steps.Blame(t.path+".file", "%w", err)
		} else if info.IsDir() {
			return nil, steps.Blame(t.path+".file", "%s is a folder: name a file of lines of JSON", path)
		}
		list = append(list, path)
	}
	for i := range c.Chats {
		programs, err := c.Chats[i].Files(s)
		if err != nil {
			return nil, err
		}
		list = append(list, programs...)
	}
	// Whether there is an xz, and which, decides what its column says: the program is part of the key.
	if slices.Contains(c.Baselines, "xz") {
		if program, err := exec.LookPath("xz"); err == nil {
			list = append(list, program)
		}
	}
	return list, nil
}

// checkTasks looks at what single attributes cannot say.
func (c *Config) checkTasks() error {
	seen := map[string]bool{}
	all, window := c.tasks(), 0
	if c.Context != nil {
		window = *c.Context
	}
	for i, n := range c.Needles {
		at := fmt.Sprintf("needle[%d]", i)
		if err := n.Fits(window); err != nil {
			return steps.Within(at, err)
		}
		all = append(all, namedTask{path: at, name: n.Name})
	}
	for i, t := range c.Chats {
		all = append(all, namedTask{path: fmt.Sprintf("chat[%d]", i), name: t.Name})
	}
	for _, t := range all {
		if seen[t.name] {
			return steps.Blame(t.path, "two tasks are called %q: their figures need two names", t.name)
		}
		seen[t.name] = true
	}
	if err := c.checkChats(); err != nil {
		return err
	}
	for i, g := range c.Generations {
		if g.Extract == nil {
			continue
		}
		if _, err := regexp.Compile(*g.Extract); err != nil {
			return steps.Blame(fmt.Sprintf("generate[%d].extract", i), "%w", err)
		}
	}
	return nil
}
