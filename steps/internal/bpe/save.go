package bpe

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
)

// A file is one file of the folder that Save writes.
type file struct {
	name string
	data []byte
}

// Save writes tokenizer.json and tokenizer_config.json, from which transformers' AutoTokenizer makes a tokenizer with
// the same ids. The folder must exist.
func (t *Tokenizer) Save(dir string) error {
	for _, f := range t.files() {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, 0o666); err != nil {
			return fmt.Errorf("writing the tokenizer: %w", err)
		}
	}
	return nil
}

// files returns what Save writes. It cannot fail: all of it is strings and numbers that came from JSON or go into it.
func (t *Tokenizer) files() []file {
	return []file{{"tokenizer.json", t.tokenizerJSON()}, {"tokenizer_config.json", t.configJSON()}}
}

// tokenizerJSON writes the file as the library lays it out. Ids: single bytes and merges first, special tokens last. The
// merges are in the form "a b", which every version of the library reads; no name holds a space.
func (t *Tokenizer) tokenizerJSON() []byte {
	var b bytes.Buffer
	b.WriteString("{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n  \"added_tokens\": [")
	sep := "\n"
	for _, tok := range t.tokens {
		if tok.added != nil {
			b.WriteString(sep + "    " + mustJSON(tok.added))
			sep = ",\n"
		}
	}
	b.WriteString("\n  ],\n")
	for _, part := range []struct {
		name string
		raw  json.RawMessage
	}{
		{"normalizer", t.format.normalizer}, {"pre_tokenizer", t.format.preTokenizer},
		{"post_processor", t.format.postProcessor}, {"decoder", t.format.decoder},
	} {
		if isNull(part.raw) {
			part.raw = json.RawMessage("null")
			if part.name == "decoder" {
				part.raw = json.RawMessage(`{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}`)
			}
		}
		fmt.Fprintf(&b, "  %q: %s,\n", part.name, part.raw)
	}
	fmt.Fprintf(&b, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"+
		"    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"+
		"    \"byte_fallback\": false,\n    \"ignore_merges\": %v,\n    \"vocab\": {", t.format.ignoreMerges)
	sep = "\n"
	for id, tok := range t.tokens {
		if tok.name != "" && (tok.added == nil || tok.inModel) {
			fmt.Fprintf(&b, "%s      %s: %d", sep, mustJSON(tok.name), id)
			sep = ",\n"
		}
	}
	b.WriteString("\n    },\n    \"merges\": [")
	sep = "\n"
	for _, m := range t.order {
		b.WriteString(sep + "      " + mustJSON(t.tokens[m.left].name+" "+t.tokens[m.right].name))
		sep = ",\n"
	}
	b.WriteString("\n    ]\n  }\n}\n")
	return b.Bytes()
}

// configJSON writes tokenizer_config.json: what the file we came from said, and the roles as they are now.
func (t *Tokenizer) configJSON() []byte {
	config := map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": false}
	for k, v := range maps.All(t.format.config) {
		config[k] = v
	}
	delete(config, "added_tokens_decoder") // tokenizer.json has them
	for _, r := range []struct{ key, name string }{
		{"bos_token", t.roles.bos}, {"eos_token", t.roles.eos}, {"pad_token", t.roles.pad},
		{"chat_template", t.roles.template},
	} {
		delete(config, r.key)
		if r.name != "" {
			config[r.key] = r.name
		}
	}
	var out bytes.Buffer
	_ = json.Indent(&out, []byte(mustJSON(config)), "", "  ") // mustJSON's result is JSON
	out.WriteByte('\n')
	return out.Bytes()
}

// bosTemplate is the post-processor that puts BOS before a text when transformers is asked to add special tokens, as
// Llama 3's file has it. It does nothing in our Encode.
func bosTemplate(bos string, tokens []token) json.RawMessage {
	id := 0
	for i, tok := range tokens {
		if tok.added != nil && tok.added.Content == bos {
			id = i
		}
	}
	r := strings.NewReplacer("BOS", mustJSON(bos), "ID", fmt.Sprint(id))
	return json.RawMessage(r.Replace(`{"type": "TemplateProcessing", ` +
		`"single": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], ` +
		`"pair": [{"SpecialToken": {"id": BOS, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, ` +
		`{"SpecialToken": {"id": BOS, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}], ` +
		`"special_tokens": {BOS: {"id": BOS, "ids": [ID], "tokens": [BOS]}}}`))
}

// mustJSON is for values that always have a JSON form. It leaves <, > and & as they are.
func mustJSON(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
