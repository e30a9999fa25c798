// Package chat lets a person try a model: it loads a model folder with its tokenizer, continues texts, and holds
// conversations with models that were trained for them, word by word as they are generated.
//
//	session, err := chat.Open(ctx, dir, "auto", 0)
//	defer session.Close()
//	err = session.Complete(ctx, "Once upon a time", chat.Options{MaxTokens: 200, Temperature: 0.8}, func(text string) {
//		fmt.Print(text)
//	})
//
// or, of a model for which [Session.Talks] holds,
//
//	dialogue := session.Talk("You are brief.")
//	forgotten, err := dialogue.Say(ctx, "Who lit the furnace?", options, emit)
//
// How tokens are drawn is steps/internal/llm, what they mean is steps/internal/bpe, how conversations are laid out is
// steps/internal/chat. The terminal is the caller's.
package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/bpe"
	format "athanor/steps/internal/chat"
	"athanor/steps/internal/llm"
)

// Options say how to continue a text.
type Options struct {
	MaxTokens   int     // of the continuation; 0: as many as the model's context holds
	Temperature float64 // 0 always takes the likeliest token
	TopK        int     // draw among so many of the likeliest tokens; 0: all
	TopP        float64 // draw among the likeliest tokens that together have this probability; 0 or 1: all
	Seed        uint64  // the same seed and options give the same text
}

// A Session is a loaded model. It answers one caller at a time.
type Session struct {
	device    gpu.Device
	model     *llm.Model
	tokenizer *bpe.Tokenizer
	format    *format.Format // nil: the model is not one for conversations
	mute      error          // why not
	stop      []int32
}

// Open loads the model folder dir onto a device, which has a name as in `engine run --device`; threads is for the CPU, 0
// means one per core.
func Open(ctx context.Context, dir, device string, threads int) (*Session, error) {
	c, err := llm.ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	tokenizer, err := bpe.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("the model cannot be talked to: %w", err)
	}
	if tokenizer.VocabSize() > c.VocabSize {
		return nil, fmt.Errorf("%s has a tokenizer of %d tokens and a model that knows %d: they do not belong together",
			dir, tokenizer.VocabSize(), c.VocabSize)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	d, err := steps.OpenDevice(device, threads)
	if err != nil {
		return nil, err
	}
	model, err := llm.Load(d, dir)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	s := &Session{device: d, model: model, tokenizer: tokenizer, stop: stopTokens(c, tokenizer)}
	s.format, s.mute = conversational(c, tokenizer)
	return s, nil
}

// conversational returns the chat format of a model that was trained for conversations: one whose configuration ends an
// answer where the chat template does. That a tokenizer has a template says nothing: it has it before any training.
func conversational(c llm.Config, t *bpe.Tokenizer) (*format.Format, error) {
	f, err := format.NewFormat(t)
	if err != nil {
		return nil, err
	}
	end, err := f.End()
	if err != nil {
		return nil, err
	}
	if !slices.Contains(c.EOSTokenIDs, end) {
		return nil, fmt.Errorf("its config.json does not end an answer with %s, as the chat template does", t.Bytes(end))
	}
	return f, nil
}

// stopTokens are the ids after which the model has nothing more to say.
func stopTokens(c llm.Config, t *bpe.Tokenizer) []int32 {
	stop := slices.Clone(c.EOSTokenIDs)
	for _, named := range []func() (int32, bool){t.EOS, t.EOT} {
		if id, ok := named(); ok && !slices.Contains(stop, id) {
			stop = append(stop, id)
		}
	}
	return stop
}

// Close gives back the model's memory and the device.
func (s *Session) Close() error {
	s.model.Close()
	return s.device.Close()
}

// Describe says in a few words what model this is.
func (s *Session) Describe() string {
	c := s.model.Config
	return fmt.Sprintf("%d parameters (%d layers of %d), %d tokens, context %d, on %s",
		c.Parameters(), c.NumHiddenLayers, c.HiddenSize, c.VocabSize, c.MaxPositionEmbeddings, s.device.Info().Name)
}

// encode puts a text behind one beginning-of-text token, as documents stand in training.
func (s *Session) encode(text string) []int32 {
	var ids []int32
	if begin, ok := s.tokenizer.BOS(); ok {
		ids = append(ids, begin)
	}
	return s.tokenizer.EncodeAppend(ids, text)
}

// Complete continues the prompt and gives emit the text as it comes, in whole characters; bytes that are no UTF-8 become
// U+FFFD. It ends where the model ends the text, at MaxTokens, where the model's context is full, or with ctx.
func (s *Session) Complete(ctx context.Context, prompt string, o Options, emit func(text string)) error {
	ids := s.encode(prompt)
	if len(ids) == 0 {
		return errors.New("an empty prompt, and the tokenizer has no beginning-of-text token: write something to continue")
	}
	room := s.model.Config.MaxPositionEmbeddings - len(ids)
	if room <= 0 {
		return fmt.Errorf("the prompt has %d tokens and the model's context is %d: shorten it", len(ids), s.model.Config.MaxPositionEmbeddings)
	}
	if o.MaxTokens > 0 {
		room = min(room, o.MaxTokens)
	}
	sampling := llm.Sampling{
		MaxTokens: room, Temperature: o.Temperature, TopK: o.TopK, TopP: o.TopP, Stop: s.stop, Seed: o.Seed,
	}
	text := s.tokenizer.Stream()
	say := func(part string) {
		if part != "" {
			emit(strings.ToValidUTF8(part, "\uFFFD"))
		}
	}
	_, err := s.model.Generate(ctx, [][]int32{ids}, sampling, func(_ int, id int32, _ float64) error {
		if !slices.Contains(s.stop, id) {
			say(text.Next(id))
		}
		return nil
	})
	say(text.Flush())
	return err
}
