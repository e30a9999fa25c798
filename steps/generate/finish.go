package generate

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/chat"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/sampling"
)

// Why an answer is not kept.
const (
	unfinished = "unfinished"       // it did not end by itself
	empty      = "empty"            // it says nothing
	control    = chat.ControlTokens // its text spells a control token
	duplicate  = "duplicate"        // an earlier answer to the prompt has the same text
	low        = "score"            // its score is below min_score
	worse      = "worse"            // others to the prompt are better
)

var reasons = []string{unfinished, empty, control, duplicate, low, worse}

// A tally is what became of all answers.
type tally struct {
	kept                          int
	score, keptScore, tokens, end float64
	dropped                       map[string]float64
	samples                       []sampling.Sample // the best and the worst of some prompts
}

// shown is how many prompts the report shows.
const shown = 8

// finish writes the dataset and the report.
func (g *generation) finish() error {
	dir, err := g.runtime.Output("data")
	if err != nil {
		return err
	}
	w := corpus.CreateAnswers(dir)
	defer w.Abort()
	t := tally{dropped: map[string]float64{}}
	for _, reason := range reasons {
		t.dropped[reason] = 0
	}
	show := finetune.Evenly(len(g.prompts), shown)
	k := g.config.Answers
	for i := range g.prompts {
		answers := g.answers[i*k : (i+1)*k]
		best, err := g.choose(&g.prompts[i], answers, &t)
		if err != nil {
			return err
		}
		split := corpus.Train
		if i >= g.train {
			split = corpus.Holdout
		}
		for _, at := range best {
			d := corpus.Document{Messages: dialogue(&g.prompts[i], answers[at].Text), Reference: g.prompts[i].Reference}
			if !g.config.Config.IsZero() {
				d.Score = &answers[at].Score
			}
			if err := w.Write(split, &d); err != nil {
				return err
			}
			t.kept++
			t.keptScore += answers[at].Score
		}
		if slices.Contains(show, i) {
			t.show(g, &g.prompts[i], answers)
		}
	}
	if t.kept == 0 {
		return steps.Blame("model", "none of the %d answers is kept: %s", len(g.answers), t.describe())
	}
	if err := w.Close(g.stats(&t)); err != nil {
		return err
	}
	g.settle(&t)
	return g.report(&t)
}

func dialogue(p *finetune.Prompt, text string) []chat.Message {
	return append(slices.Clone(p.Messages), chat.Message{Role: chat.Assistant, Content: text})
}

// choose returns the answers to keep, the best first, and counts all.
func (g *generation) choose(p *finetune.Prompt, answers []answer, t *tally) ([]int, error) {
	var good []int
	seen := map[string]bool{}
	for i, a := range answers {
		t.score += a.Score
		t.tokens += float64(a.Tokens)
		t.end += finetune.Share(a.Ended)
		var problem *chat.Problem
		_, err := g.base.Format.Encode(dialogue(p, a.Text))
		if err != nil && !errors.As(err, &problem) {
			return nil, err
		}
		switch {
		case !a.Ended && !g.config.Unfinished:
			t.dropped[unfinished]++
		case strings.TrimSpace(a.Text) == "":
			t.dropped[empty]++
		case problem != nil:
			t.dropped[control]++
		case seen[a.Text]:
			t.dropped[duplicate]++
		case g.config.MinScore != nil && a.Score < *g.config.MinScore:
			t.dropped[low]++
		default:
			good = append(good, i)
		}
		seen[a.Text] = true
	}
	slices.SortStableFunc(good, func(i, j int) int { return cmp.Compare(answers[j].Score, answers[i].Score) })
	if keep := g.config.Keep; keep != nil && len(good) > *keep {
		t.dropped[worse] += float64(len(good) - *keep)
		good = good[:*keep]
	}
	return good, nil
}

// show adds the best and the worst answer to a prompt to the report.
func (t *tally) show(g *generation, p *finetune.Prompt, answers []answer) {
	best, worst := 0, 0
	for i, a := range answers {
		if a.Score > answers[best].Score {
			best = i
		}
		if a.Score <= answers[worst].Score {
			worst = i
		}
	}
	for _, i := range slices.Compact([]int{best, worst}) {
		s := sampling.Sample{Prompt: p.Messages[len(p.Messages)-1].Content, Text: answers[i].Text, Ended: answers[i].Ended}
		if !g.config.Config.IsZero() {
			s.Score = &answers[i].Score
		}
		t.samples = append(t.samples, s)
	}
}

func (t *tally) describe() string {
	var parts []string
	for _, reason := range reasons {
		if n := t.dropped[reason]; n > 0 {
			parts = append(parts, fmt.Sprintf("%.0f %s", n, reason))
		}
	}
	return strings.Join(parts, ", ")
}

// stats is what stats.json says.
func (g *generation) stats(t *tally) *corpus.Stats {
	s := &corpus.Stats{Records: int64(len(g.answers)), Dropped: map[string]int64{}}
	for reason, n := range t.dropped {
		if n > 0 && reason != duplicate {
			s.Dropped[reason] = int64(n)
		}
	}
	s.Duplicates = int64(t.dropped[duplicate])
	return s
}

// settle sets the value outputs.
func (g *generation) settle(t *tally) {
	n, rt := float64(len(g.answers)), g.runtime
	rt.Set("prompts", len(g.prompts))
	rt.Set("answers", t.kept)
	rt.Set("score", t.score/n)
	rt.Set("kept_score", t.keptScore/float64(t.kept))
	rt.Set("length", t.tokens/n)
	rt.Set("ended", t.end/n)
	rt.Set("dropped", t.dropped)
}

func (g *generation) report(t *tally) error {
	n := float64(len(g.answers))
	r := finetune.Report{Title: "Generated answers", Unit: "answers", Samples: t.samples}
	r.Counted("prompts", g.counts[corpus.Train])
	r.Counted("held-out prompts", g.counts[corpus.Holdout])
	r.Row("answers", "%d, %d to each of %d prompts", len(g.answers), g.config.Answers, len(g.prompts))
	r.Row("kept", "%d", t.kept)
	if dropped := t.describe(); dropped != "" {
		r.Row("dropped", "%s", dropped)
	}
	if !g.config.Config.IsZero() {
		r.Row("score", "%.4f of all, %.4f of those kept", t.score/n, t.keptScore/float64(t.kept))
	}
	r.Row("length", "%.1f tokens", t.tokens/n)
	r.Row("ended by themselves", "%.1f %%", 100*t.end/n)
	return r.Write(g.runtime, nil)
}
