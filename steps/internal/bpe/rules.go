package bpe

import (
	"fmt"

	"github.com/dlclark/regexp2"
)

// Patterns are the rules that a recipe can name.
var Patterns = []string{"llama3", "gpt2", "cl100k"}

// The rules as regular expressions, as files state them.
const (
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern  = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	gpt2Pattern   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	// cl100k as tiktoken has it since 0.6, spelled for regular expressions without possessive quantifiers. It differs from
	// Llama 3's rule in white space at the very end of a text.
	cl100kPattern = `'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+\z|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// knownRules are the expressions that we have by hand.
var knownRules = map[string]rule{
	llama3Pattern: wordRule{digits: 3},
	qwen2Pattern:  wordRule{digits: 1},
	cl100kPattern: wordRule{digits: 3, endRun: true},
	gpt2Pattern:   gpt2Rule{},
}

// namedRule returns the rule that a recipe calls name, and its expression.
func namedRule(name string) (rule, string, error) {
	switch name {
	case "llama3":
		return knownRules[llama3Pattern], llama3Pattern, nil
	case "gpt2":
		return knownRules[gpt2Pattern], gpt2Pattern, nil
	case "cl100k":
		return knownRules[cl100kPattern], cl100kPattern, nil
	}
	return nil, "", fmt.Errorf("no pattern is called %q: use one of %v", name, Patterns)
}

// patternRule returns the rule of an expression: one of ours if we know it, regexp2's otherwise.
func patternRule(expr string) (rule, error) {
	if r := knownRules[expr]; r != nil {
		return r, nil
	}
	re, err := regexp2.Compile(expr, regexp2.None)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	return &regexRule{re: re}, nil
}

// A regexRule cuts by any regular expression: each match is a piece, and so is the text between two matches. It is some
// hundred times slower than the rules by hand, and \p{…} means what Go's Unicode tables say.
type regexRule struct{ re *regexp2.Regexp }

// each calls yield for every piece of s. An ill-formed byte is matched as U+FFFD.
func (r *regexRule) each(s string, yield func(string)) {
	runes := make([]rune, 0, len(s))
	starts := make([]int, 0, len(s)+1) // in s, of each rune
	for i, c := range s {
		runes = append(runes, c)
		starts = append(starts, i)
	}
	starts = append(starts, len(s))
	end := 0
	m, err := r.re.FindRunesMatch(runes)
	for ; m != nil && err == nil; m, err = r.re.FindNextMatch(m) {
		if m.Index > end {
			yield(s[starts[end]:starts[m.Index]])
		}
		if m.Length > 0 {
			yield(s[starts[m.Index]:starts[m.Index+m.Length]])
		}
		end = m.Index + m.Length
	}
	// The only error is a time limit, and none is set.
	if end < len(runes) {
		yield(s[starts[end]:])
	}
}
