package reinforce

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/sampling"
)

// Outputs are those of both methods.
var Outputs = []steps.Output{
	{Name: "model", Type: "model", Doc: "The aligned chat model with its tokenizer and chat template, a Hugging Face folder."},
	{Name: "report", Type: "report", Doc: "metrics.jsonl and its curves, samples.jsonl, summary.md."},
	{Name: "score", Type: "number", Doc: "Mean score of the model's answers, sampled after the last iteration: the weighted sum of reward model and rules, less the penalty of answers without end."},
	{Name: "first_score", Type: "number", Doc: "The same before the first iteration."},
	{Name: "kl", Type: "number", Doc: "Divergence from the reference, in nats per answer, of the same answers."},
	{Name: "entropy", Type: "number", Doc: "Entropy in nats per token, of the same answers."},
	{Name: "length", Type: "number", Doc: "Mean tokens per answer."},
	{Name: "truncated", Type: "number", Doc: "Share of the answers that do not end by themselves."},
	{Name: "iterations", Type: "number", Doc: "Iterations that the model has learned from; fewer than asked for if kl.bound ended the run."},
	{Name: "prompts", Type: "number", Doc: "Prompts that were drawn from."},
	{Name: "dropped", Type: "map(number)", Doc: "Prompts that could not be used, by reason."},
	{Name: "parameters", Type: "number", Doc: "Weights of the model."},
}

// measure is what answers say about the policy that gave them.
func measure(rollouts []Rollout) map[string]float64 {
	var tokens, kl, logp, score, squares, open float64
	figures := map[string]float64{}
	n := float64(len(rollouts))
	for i := range rollouts {
		r := &rollouts[i]
		for at := range r.IDs {
			kl += r.Logp[at] - r.Ref[at]
			logp += r.Logp[at]
		}
		tokens += float64(len(r.IDs))
		open += 1 - finetune.Share(r.Ended)
		score += r.Score.Total
		squares += r.Score.Total * r.Score.Total
		for name, points := range r.Score.Parts {
			figures["score_"+name] += points / n
		}
	}
	figures["reward"], figures["reward_std"] = score/n, math.Sqrt(max(0, squares/n-score/n*score/n))
	figures["kl"], figures["entropy"] = kl/n, -logp/tokens
	figures["length"], figures["truncated"] = tokens/n, open/n
	return figures
}

// samples are the answers of an iteration that the report shows.
func (t *Training) samples(rollouts []Rollout) []sampling.Sample {
	var out []sampling.Sample
	for _, i := range finetune.Evenly(len(rollouts), t.Config.Rollout.Samples) {
		r := &rollouts[i]
		messages := t.prompts[r.Prompt].Messages
		score := r.Score.Total
		out = append(out, sampling.Sample{
			Step: int64(t.state.Iteration), Prompt: messages[len(messages)-1].Content, Text: r.Text, Ended: r.Ended, Score: &score,
		})
	}
	return out
}

// warn tells the user, once for each, which figures have left their range.
func (t *Training) warn(figures map[string]float64) {
	w, s := &t.Config.Warn, &t.state
	ratio := figures["length"] / s.Length
	for _, r := range []struct {
		name string
		left bool
		says string
	}{
		{"kl", figures["kl"] > w.KL, fmt.Sprintf("the policy is %.3f nats per answer from the reference (warn.kl = %g): it may be gaming the reward. Read the samples; raise the KL coefficient or lower optimizer.lr", figures["kl"], w.KL)},
		{"entropy", figures["entropy"] < w.Entropy, fmt.Sprintf("the entropy is %.4f nats per token (warn.entropy = %g): the policy gives nearly the same answer each time. Lower optimizer.lr", figures["entropy"], w.Entropy)},
		{"length", ratio > w.Length || ratio < 1/w.Length, fmt.Sprintf("answers have %.1f tokens, %.1f at first (warn.length = %g): the reward may prefer a length and not a content", figures["length"], s.Length, w.Length)},
		{"truncated", figures["truncated"] > w.Truncated, fmt.Sprintf("%.0f %% of the answers do not end by themselves (warn.truncated = %g): raise rollout.tokens or rollout.missing_end", 100*figures["truncated"], w.Truncated)},
		{"clipped", figures["clip_fraction"] > w.Clipped, fmt.Sprintf("the ratio of %.0f %% of the tokens is clipped (warn.clipped = %g): lower optimizer.lr or the epochs", 100*figures["clip_fraction"], w.Clipped)},
		{"gap", figures["sampler_gap"] > w.Gap, fmt.Sprintf("sampler and trainer disagree by %.4f nats per token about the same tokens (warn.gap = %g): the gradient is not that of what was sampled", figures["sampler_gap"], w.Gap)},
	} {
		if r.left && !s.Warned[r.name] {
			if s.Warned == nil {
				s.Warned = map[string]bool{}
			}
			s.Warned[r.name] = true
			t.runtime.Warn("iteration %d: %s", s.Iteration, r.says)
		}
	}
}

// settle sets the value outputs.
func (t *Training) settle() {
	rt, f := t.runtime, t.state.Figures
	for _, name := range []string{"kl", "entropy", "length", "truncated"} {
		rt.Set(name, f[name])
	}
	rt.Set("score", f["reward"])
	rt.Set("first_score", t.state.First)
	rt.Set("iterations", t.learned())
	rt.Set("prompts", len(t.prompts))
	rt.Set("dropped", t.counts.Values())
	rt.Set("parameters", t.model.Config.Parameters())
}

// learned is how many iterations the result has learned from.
func (t *Training) learned() int {
	if t.state.Bounded {
		return t.state.Iteration - 1
	}
	return t.state.Iteration
}

func (t *Training) report() error {
	f, c := t.state.Figures, &t.Config
	r := finetune.Report{Title: t.Title, Unit: "iteration", Samples: t.state.Samples}
	r.Row("parameters", "%d", t.model.Config.Parameters())
	r.Row("run", "%d iterations of %d prompts, %d answers to each, %d epochs", t.learned(), c.Rollout.Prompts, t.Group, t.Epochs)
	if t.state.Bounded {
		r.Row("ended by", "kl.bound = %g", *t.Bound)
	}
	r.Counted("prompts", &t.counts)
	r.Row("score", "%.4f ± %.4f, %.4f before", f["reward"], f["reward_std"], t.state.First)
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if part, ok := strings.CutPrefix(name, "score_"); ok {
			r.Row("points: "+part, "%.4f", f[name])
		}
	}
	r.Row("divergence from the reference", "%.4f nats per answer", f["kl"])
	r.Row("entropy", "%.4f nats per token", f["entropy"])
	r.Row("length", "%.1f tokens per answer, %.1f before", f["length"], t.state.Length)
	r.Row("without end", "%.1f %%", 100*f["truncated"])
	return r.Write(t.runtime, t.curves())
}

// curves say what a run records and how to draw it.
func (t *Training) curves() []steps.Curves {
	reward := steps.Curves{File: "reward.svg", Title: "Score of the answers", YLabel: "score", Lines: []string{"reward"}}
	if names := t.Config.Names(); len(names) > 1 {
		for _, name := range names {
			reward.Lines = append(reward.Lines, "score_"+name)
		}
	}
	all := []steps.Curves{
		reward,
		{File: "kl.svg", Title: "Divergence from the reference", YLabel: "nats per answer", Lines: []string{"kl"}},
		{File: "entropy.svg", Title: "Entropy", YLabel: "nats per token", Lines: []string{"entropy"}},
		{File: "length.svg", Title: "Length of the answers", YLabel: "tokens", Lines: []string{"length"}},
		{File: "clip_fraction.svg", Title: "Tokens whose ratio is clipped", YLabel: "share", Lines: []string{"clip_fraction"}},
		{File: "lr.svg", Title: "Learning rate", YLabel: "learning rate", Exact: true, Lines: []string{"lr"}},
		{File: "grad_norm.svg", Title: "Norm of the gradient, before clipping", YLabel: "norm", LogY: true, Lines: []string{"grad_norm"}},
	}
	for i := range all {
		all[i].X, all[i].XLabel = "iteration", "iteration"
	}
	return all
}
