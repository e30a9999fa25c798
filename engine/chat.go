package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"athanor/engine/internal/plan"
	"athanor/engine/internal/ui"
	"athanor/steps/chat"
)

type chatFlags struct {
	projectFlags
	chat.Options
	prompt  string
	system  string
	mode    string
	beside  []string
	forget  bool
	threads int
}

func (a *app) chatCommand() *cobra.Command {
	var f chatFlags
	cmd := &cobra.Command{
		Use:   "chat ADDRESS|FOLDER [PIPELINE]",
		Short: "Talk with a model, or let it continue what you write",
		Long: `Loads the model that a step has made, or a model folder. A model that was trained for conversations answers each line
that you write and remembers what was said; any other continues each line. --mode decides otherwise. With --prompt it does
so once and ends; with --beside several models do, one after the other, and their answers bear their names. Ctrl-C stops
an answer, /reset forgets the conversation, Ctrl-D ends. A model that has learned single questions and no conversations
answers better with --forget.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.completeAddress,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			return a.chat(cmd.Context(), args, &f, cmd.Flags().Changed("prompt"))
		},
	}
	f.bind(cmd)
	cmd.Flags().StringVar(&f.prompt, "prompt", "", "answer or continue this and end")
	cmd.Flags().StringVar(&f.system, "system", "", "a system message before the conversation")
	cmd.Flags().StringVar(&f.mode, "mode", "auto", "chat to converse, text to continue texts, auto for what the model was trained for")
	cmd.Flags().StringArrayVar(&f.beside, "beside", nil, "another model to hear as well: an address or a folder (repeatable)")
	cmd.Flags().BoolVar(&f.forget, "forget", false, "begin a new conversation with each line")
	cmd.Flags().IntVar(&f.MaxTokens, "max-tokens", 256, "most tokens of an answer; 0 for as many as the model can")
	cmd.Flags().Float64Var(&f.Temperature, "temperature", 0.8, "divides the logits; 0 always takes the likeliest token")
	cmd.Flags().IntVar(&f.TopK, "top-k", 0, "draw among so many of the likeliest tokens; 0 for all")
	cmd.Flags().Float64Var(&f.TopP, "top-p", 0.95, "draw among the likeliest tokens that together have this probability")
	cmd.Flags().Uint64Var(&f.Seed, "seed", 0, "the same seed gives the same answers")
	cmd.Flags().IntVar(&f.threads, "threads", 0, "CPU threads (default: all)")
	return cmd
}

// check looks at the flags before a model is loaded.
func (f *chatFlags) check() error {
	switch {
	case !slices.Contains(chatModes, f.mode):
		return invalid("no mode is called %q: use %s", f.mode, strings.Join(chatModes, ", "))
	case !(f.Temperature >= 0): // nor is it NaN
		return invalid("--temperature %g: it is at least 0", f.Temperature)
	case !(f.TopP >= 0 && f.TopP <= 1):
		return invalid("--top-p %g: it is between 0 and 1", f.TopP)
	case f.TopK < 0:
		return invalid("--top-k %d: give a number of tokens, or 0 for all", f.TopK)
	case f.MaxTokens < 0:
		return invalid("--max-tokens %d: give a number of tokens, or 0 for as many as the model can", f.MaxTokens)
	}
	return nil
}

// modelFolder finds the model: a folder as it is, or what a step of the pipeline has made.
func (a *app) modelFolder(args []string, f *projectFlags) (string, error) {
	if _, err := os.Stat(filepath.Join(args[0], "config.json")); err == nil && len(args) == 1 {
		return args[0], nil
	}
	if info, err := os.Stat(args[0]); err == nil && info.IsDir() && len(args) == 1 {
		return "", invalid("%s is no model folder: it has no config.json", args[0])
	}
	path, rest := takePipeline(args, 1)
	dir := ""
	err := a.withPlan(path, f, plan.Options{}, func(p *project, made *plan.Plan) error {
		model, err := p.artifact(made, rest[0], "model")
		dir = model.Path
		return err
	})
	return dir, err
}

// chatModes are the values of --mode.
var chatModes = []string{"auto", "chat", "text"}

// A speaker is a model that is talked with.
type speaker struct {
	label    string // before its answers; empty if it speaks alone
	session  *chat.Session
	dialogue *chat.Dialogue // nil: texts are continued
}

// open loads a model; args are its address or folder and perhaps the pipeline.
func (a *app) open(ctx context.Context, args []string, f *chatFlags) (s *speaker, err error) {
	dir, err := a.modelFolder(args, &f.projectFlags)
	if err != nil {
		return nil, err
	}
	s = &speaker{}
	if s.session, err = chat.Open(ctx, dir, f.device, f.threads); err != nil {
		return nil, err
	}
	if f.mode == "chat" || f.mode == "auto" && s.session.Talks() {
		s.dialogue, err = s.session.Talk(f.system)
	} else if f.system != "" {
		err = invalid("--system belongs to a conversation, and the model continues texts")
	}
	if err != nil {
		return nil, errors.Join(err, s.session.Close())
	}
	return s, nil
}

func (a *app) chat(ctx context.Context, args []string, f *chatFlags, once bool) (err error) {
	var speakers []*speaker
	defer func() {
		for _, s := range speakers {
			err = errors.Join(err, s.session.Close())
		}
	}()
	models := [][]string{args}
	for _, beside := range f.beside {
		path, _ := takePipeline(args, 1)
		other := []string{beside, path}
		if _, err := os.Stat(filepath.Join(beside, "config.json")); err == nil {
			other = other[:1]
		}
		models = append(models, other)
	}
	for _, m := range models {
		s, err := a.open(ctx, m, f)
		if err != nil {
			return err
		}
		if len(f.beside) > 0 {
			s.label = m[0] + ": "
		}
		speakers = append(speakers, s)
	}
	if once {
		return a.answers(ctx, speakers, f.prompt, f.Options)
	}
	for _, s := range speakers {
		fmt.Fprintln(a.err, s.label+s.session.Describe())
	}
	return a.converse(ctx, speakers, f)
}

// converse answers each line of the standard input.
func (a *app) converse(ctx context.Context, speakers []*speaker, f *chatFlags) error {
	o := f.Options
	interactive := ui.StyleOf(a.out).Live
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for ; ; o.Seed++ { // another answer to the same words
		if interactive {
			fmt.Fprint(a.out, "> ")
		}
		if !lines.Scan() {
			return lines.Err()
		}
		prompt := strings.TrimSpace(lines.Text())
		switch prompt {
		case "":
			continue
		case "/reset":
			reset(speakers)
			continue
		}
		if f.forget {
			reset(speakers)
		}
		if err := a.answers(ctx, speakers, prompt, o); err != nil {
			fmt.Fprintln(a.err, "Error:", err)
		}
	}
}

// reset forgets the conversations.
func reset(speakers []*speaker) {
	for _, s := range speakers {
		if s.dialogue != nil {
			s.dialogue.Reset()
		}
	}
}

// answers lets each model say something to the prompt. Ctrl-C ends that early.
func (a *app) answers(ctx context.Context, speakers []*speaker, prompt string, o chat.Options) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	for _, s := range speakers {
		err := a.answer(ctx, s, prompt, o)
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// answer prints a model's answer, or the prompt and its continuation, while it is generated.
func (a *app) answer(ctx context.Context, s *speaker, prompt string, o chat.Options) (err error) {
	fmt.Fprint(a.out, s.label)
	forgotten := 0
	emit := func(text string) { fmt.Fprint(a.out, text) }
	if s.dialogue != nil {
		forgotten, err = s.dialogue.Say(ctx, prompt, o, emit)
	} else {
		emit(prompt)
		err = s.session.Complete(ctx, prompt, o, emit)
	}
	fmt.Fprintln(a.out)
	if forgotten > 0 {
		fmt.Fprintf(a.err, "(the model's context is full: the first %d exchanges are forgotten)\n", forgotten)
	}
	return err
}
