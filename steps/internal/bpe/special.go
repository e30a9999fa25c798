package bpe

import (
	"fmt"
	"slices"
)

// SpecialSets are the sets of special tokens that a recipe can name.
var SpecialSets = []string{"llama3", "chatml", "none"}

// A specialSet is a list of control tokens, in the order of their ids, and what they are for.
type specialSet struct {
	tokens    []string
	roles     roles
	bosBefore bool // the post-processor of the file puts BOS before a text, as Llama 3's does
}

var specialSets = map[string]specialSet{
	"llama3": {
		tokens: []string{
			"<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>",
			"<|eot_id|>", "<|eom_id|>", "<|python_tag|>", "<|finetune_right_pad_id|>",
		},
		roles: roles{
			bos: "<|begin_of_text|>", eos: "<|end_of_text|>", eot: "<|eot_id|>", pad: "<|finetune_right_pad_id|>",
			template: llama3Template,
		},
		bosBefore: true,
	},
	"chatml": {
		tokens: []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"},
		roles:  roles{eos: "<|endoftext|>", eot: "<|im_end|>", pad: "<|pad|>", template: chatmlTemplate},
	},
	"none": {},
}

func namedSpecials(name string) (specialSet, error) {
	s, ok := specialSets[name]
	if !ok {
		return s, fmt.Errorf("no set of special tokens is called %q: use one of %v", name, SpecialSets)
	}
	return s, nil
}

// The templates of conversations. Content is stripped of white space at both ends, as Llama 3's own template does it; the
// role tool is ipython on the wire. A call is laid out as Llama 3.1 does it; the words around the tools are ours.
const (
	llama3Template = `{{- bos_token }}
{%- set first = 0 %}
{%- if tools %}
    {{- '<|start_header_id|>system<|end_header_id|>\n\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {%- set first = 1 %}
        {{- messages[0]['content'] | trim + '\n\n' }}
    {%- endif %}
    {{- 'To call one of these functions, answer with {"name": its name, "parameters": its arguments} and nothing else.' }}
    {%- for tool in tools %}
        {{- '\n\n' + tool | tojson }}
    {%- endfor %}
    {{- '<|eot_id|>' }}
{%- endif %}
{%- for message in messages[first:] %}
    {%- set role = 'ipython' if message['role'] == 'tool' else message['role'] %}
    {{- '<|start_header_id|>' + role + '<|end_header_id|>\n\n' + message['content'] | trim }}
    {%- for call in message.tool_calls or [] %}
        {%- set arguments = call.function.arguments if call.function.arguments is string else call.function.arguments | tojson %}
        {%- if message['content'] | trim or not loop.first %}
            {{- '\n' }}
        {%- endif %}
        {{- '{"name": ' + call.function.name | tojson + ', "parameters": ' + arguments + '}' }}
    {%- endfor %}
    {{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
`
	chatmlTemplate = `{%- for message in messages %}
    {{- '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>' + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
`
)

// complete fills in the roles that the file leaves open, by the usual names, and drops those whose token is not there.
func (r *roles) complete(byName map[string]int32) {
	for _, f := range []struct {
		role  *string
		names []string
	}{
		{&r.bos, []string{"<|begin_of_text|>", "<|startoftext|>", "<s>"}},
		{&r.eos, []string{"<|end_of_text|>", "<|endoftext|>", "</s>"}},
		{&r.eot, []string{"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"}},
		{&r.pad, []string{"<|finetune_right_pad_id|>", "<|pad|>", "<pad>", "[PAD]"}},
	} {
		if _, ok := byName[*f.role]; ok && *f.role != "" {
			continue
		}
		*f.role = ""
		for _, name := range f.names {
			if _, ok := byName[name]; ok {
				*f.role = name
				break
			}
		}
	}
}

// WithSpecial returns a tokenizer that has the special tokens of a set as well: those it lacks get ids after the last
// one. Roles and template become those of the set. Ids of text do not change.
func (t *Tokenizer) WithSpecial(set string) (*Tokenizer, error) {
	s, err := namedSpecials(set)
	if err != nil || len(s.tokens) == 0 {
		return t, err
	}
	c := &Tokenizer{
		tokens: slices.Clone(t.tokens), order: t.order, rules: t.rules, normalize: t.normalize, prefix: t.prefix,
		format: t.format, roles: s.roles,
	}
	c.addSpecials(s, t.byName)
	return c, c.finish()
}

// WithChatTemplate returns a tokenizer with another layout of conversations, in Jinja. Ids of text do not change.
func (t *Tokenizer) WithChatTemplate(text string) (*Tokenizer, error) {
	c := &Tokenizer{
		tokens: t.tokens, order: t.order, ranks: t.ranks, rules: t.rules, normalize: t.normalize, prefix: t.prefix,
		format: t.format, roles: t.roles,
	}
	c.roles.template = text
	return c, c.finish()
}

// addSpecials appends those tokens of a set that known does not have.
func (t *Tokenizer) addSpecials(s specialSet, known map[string]int32) {
	for _, name := range s.tokens {
		if _, ok := known[name]; ok {
			continue
		}
		id := int32(len(t.tokens))
		t.tokens = append(t.tokens, token{
			name: name, bytes: []byte(name), added: &addedToken{ID: id, Content: name, Special: true},
		})
	}
	if s.bosBefore {
		t.format.postProcessor = bosTemplate(s.roles.bos, t.tokens)
	}
}

// SpecialCount is the number of tokens in a set; 0 if there is no such set.
func SpecialCount(set string) int { return len(specialSets[set].tokens) }
