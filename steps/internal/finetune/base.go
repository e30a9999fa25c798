package finetune

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/sampling"
)

// A Base is the model to start from, as it reads conversations. Its weights are the caller's to load.
type Base struct {
	Dir       string
	Config    llm.Config
	Tokenizer *bpe.Tokenizer
	Format    *chat.Format
	Context   int // most tokens of a conversation

	changed bool // the tokenizer is not that of Dir any more
}

// Open reads the tokenizer of a model and its chat template; template, if not nil, takes that one's place: Jinja, or the
// name of a set of special tokens. context, if not nil, takes the place of the model's own.
func Open(rt *steps.Runtime, model steps.Artifact, template *string, context *int) (*Base, error) {
	b, err := open(model, template)
	if err == nil && context != nil {
		if *context > b.Context {
			rt.Warn("the context is %d tokens, but the model is made for %d", *context, b.Context)
		}
		b.Context = *context
	}
	return b, err
}

func open(model steps.Artifact, template *string) (*Base, error) {
	b := &Base{Dir: model.Path}
	var err error
	if b.Config, err = llm.ReadConfig(model.Path); err != nil {
		return nil, err
	}
	if b.Tokenizer, err = bpe.Load(model.Path); err != nil {
		return nil, steps.Blame("model", "the model's tokenizer: %w", err)
	}
	if template != nil {
		if b.Tokenizer, err = withTemplate(b.Tokenizer, *template); err != nil {
			return nil, steps.Blame("chat_template", "%w", err)
		}
		b.changed = true
	}
	if size := b.Tokenizer.VocabSize(); size > b.Config.VocabSize {
		return nil, steps.Blame("model", "the tokenizer has %d tokens, the model's embedding table %d rows: train the tokenizer with the special tokens of the chat format before the model",
			size, b.Config.VocabSize)
	}
	b.Format, err = chat.NewFormat(b.Tokenizer)
	switch {
	case errors.Is(err, chat.ErrNoTemplate):
		return nil, steps.Blame("model", "the model's tokenizer has no chat template: set chat_template, or special_tokens in the tokenizer step")
	case err != nil && template != nil:
		return nil, steps.Blame("chat_template", "%w", err)
	case err != nil:
		return nil, steps.Blame("model", "%w", err)
	}
	b.Context = b.Config.MaxPositionEmbeddings
	return b, nil
}

func withTemplate(t *bpe.Tokenizer, template string) (*bpe.Tokenizer, error) {
	if slices.Contains(bpe.SpecialSets, template) {
		return t.WithSpecial(template)
	}
	return t.WithChatTemplate(template)
}

// CheckTemplate reports a chat template that cannot be read.
func CheckTemplate(template *string) error {
	if template == nil || bpe.SpecialCount(*template) > 0 {
		return nil
	}
	if _, err := chat.ParseTemplate(*template); err != nil {
		return steps.Blame("chat_template", "%w", err)
	}
	return nil
}

// SameTokenizer checks that another model reads text as this one does.
func (b *Base) SameTokenizer(attribute string, other steps.Artifact) error {
	t, err := bpe.Load(other.Path)
	if err != nil {
		return steps.Blame(attribute, "its tokenizer: %w", err)
	}
	own, err := bpe.Load(b.Dir)
	if err != nil {
		return err
	}
	if t.Digest() != own.Digest() {
		return steps.Blame(attribute, "it has another tokenizer than model: their figures for a text cannot be compared. Make both from one base")
	}
	return nil
}

// adapterDir is the folder below a model's that holds its adapters.
const adapterDir = "adapter"

// Save writes the model with the tokenizer into the artifact output called model. Adapters are written beside it and
// merged into it. The tokens that end an answer are in
// generation_config.json, so that other tools stop where training did.
func (b *Base) Save(rt *steps.Runtime, m *llm.Model) error {
	dir, err := rt.Output("model")
	if err != nil {
		return err
	}
	if m.Adapted() {
		adapters := filepath.Join(dir, adapterDir)
		if err := os.Mkdir(adapters, 0o777); err != nil {
			return err
		}
		if err := m.SaveAdapters(adapters); err != nil {
			return fmt.Errorf("writing the adapters: %w", err)
		}
		if err := m.Merge(); err != nil {
			return err
		}
	}
	c := &m.Config
	if id, ok := b.Tokenizer.BOS(); ok && c.BOSTokenID == nil {
		c.BOSTokenID = &id
	}
	if id, ok := b.Tokenizer.PAD(); ok && c.PadTokenID == nil {
		c.PadTokenID = &id
	}
	stop := b.Format.Stop()
	for _, id := range c.EOSTokenIDs {
		if !slices.Contains(stop, id) {
			stop = append(stop, id)
		}
	}
	c.EOSTokenIDs = stop
	if err := m.Save(dir); err != nil {
		return fmt.Errorf("writing the model: %w", err)
	}
	if b.changed {
		return b.Tokenizer.Save(dir)
	}
	return llm.CopyTokenizer(dir, b.Dir)
}

// Answers puts the questions of a sample block to the model; nil without one.
func (b *Base) Answers(ctx context.Context, m *llm.Model, s *Sample, seed uint64) ([]sampling.Sample, error) {
	if s == nil {
		return nil, nil
	}
	var ids [][]int32
	for i, prompt := range s.Prompts {
		messages := []chat.Message{{Role: chat.User, Content: prompt}}
		if s.System != nil {
			messages = slices.Insert(messages, 0, chat.Message{Role: chat.System, Content: *s.System})
		}
		p, err := b.Format.Prompt(messages)
		if err != nil {
			return nil, steps.Blame(fmt.Sprintf("sample.prompts[%d]", i), "%w", err)
		}
		ids = append(ids, p)
	}
	return sampling.Continue(ctx, m, b.Tokenizer, s.config(), ids, seed)
}
