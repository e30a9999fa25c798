package bpe

import (
	"encoding/json"
	"fmt"

	"golang.org/x/text/unicode/norm"
)

// readNormalizer takes the part of tokenizer.json that changes text before anything else looks at it.
func (t *Tokenizer) readNormalizer(raw json.RawMessage) error {
	var n struct {
		Type        string            `json:"type"`
		Normalizers []json.RawMessage `json:"normalizers"`
	}
	if isNull(raw) {
		return nil
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return fmt.Errorf("normalizer: %w", err)
	}
	forms := map[string]norm.Form{"NFC": norm.NFC, "NFD": norm.NFD, "NFKC": norm.NFKC, "NFKD": norm.NFKD}
	if form, ok := forms[n.Type]; ok {
		t.normalize = &form
		return nil
	}
	if n.Type == "Sequence" && len(n.Normalizers) == 0 {
		return nil
	}
	if n.Type == "Sequence" && len(n.Normalizers) == 1 {
		return t.readNormalizer(n.Normalizers[0])
	}
	return fmt.Errorf("its normalizer is of the type %s; only NFC, NFD, NFKC and NFKD can be read", n.Type)
}

// preTokenizer is the part of tokenizer.json that cuts text into words.
type preTokenizer struct {
	Type          string         `json:"type"`
	PreTokenizers []preTokenizer `json:"pretokenizers"`

	AddPrefixSpace   bool  `json:"add_prefix_space"` // ByteLevel
	UseRegex         *bool `json:"use_regex"`
	IndividualDigits bool  `json:"individual_digits"` // Digits

	Pattern struct { // Split
		Regex  string
		String *string
	} `json:"pattern"`
	Behavior string `json:"behavior"`
	Invert   bool   `json:"invert"`
}

func (t *Tokenizer) readPreTokenizer(raw json.RawMessage) error {
	var p preTokenizer
	if isNull(raw) {
		return fmt.Errorf("it has no pre_tokenizer; only byte-level BPE can be read")
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return fmt.Errorf("pre_tokenizer: %w", err)
	}
	list := []preTokenizer{p}
	if p.Type == "Sequence" {
		list = p.PreTokenizers
	}
	byteLevel := false
	for i, p := range list {
		var r rule
		var err error
		switch p.Type {
		case "ByteLevel":
			byteLevel = true
			if p.AddPrefixSpace && i > 0 {
				return fmt.Errorf("its pre_tokenizer puts a space before every word (add_prefix_space after a split), which cannot be read")
			}
			t.prefix = p.AddPrefixSpace
			if p.UseRegex == nil || *p.UseRegex {
				r = gpt2Rule{}
			}
		case "Split":
			r, err = p.split()
		case "Digits":
			r, err = patternRule(map[bool]string{false: `\p{N}+`, true: `\p{N}`}[p.IndividualDigits])
		default:
			err = fmt.Errorf("its pre_tokenizer has a part of the type %s; only Split, Digits and ByteLevel can be read", p.Type)
		}
		if err != nil {
			return err
		}
		if r != nil {
			t.rules = append(t.rules, r)
		}
	}
	if !byteLevel {
		return fmt.Errorf("its pre_tokenizer has no part of the type ByteLevel; only byte-level BPE can be read")
	}
	return nil
}

func (p *preTokenizer) split() (rule, error) {
	switch {
	case p.Pattern.String != nil:
		return nil, fmt.Errorf("its pre_tokenizer splits at a string; only a regular expression can be read")
	case p.Behavior == "Isolated" || p.Behavior == "Removed" && p.Invert:
		// Removing all that does not match keeps the matches: the same where the matches cover the text.
	default:
		return nil, fmt.Errorf("its pre_tokenizer splits with the behavior %s (invert %v); only Isolated can be read", p.Behavior, p.Invert)
	}
	return patternRule(p.Pattern.Regex)
}

// setPattern makes the tokenizer's rule that of a name in Patterns and describes it for the file.
func (t *Tokenizer) setPattern(name string) error {
	r, expr, err := namedRule(name)
	if err != nil {
		return err
	}
	t.rules = []rule{r}
	if name == "gpt2" {
		t.format.preTokenizer = json.RawMessage(`{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}`)
		return nil
	}
	t.format.preTokenizer = json.RawMessage(`{"type": "Sequence", "pretokenizers": [` +
		`{"type": "Split", "pattern": {"Regex": ` + mustJSON(expr) + `}, "behavior": "Isolated", "invert": false}, ` +
		`{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}`)
	return nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
