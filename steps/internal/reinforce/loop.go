package reinforce

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train"
)

// iterate runs to the end: after the last iteration, answers are sampled once more to measure what has come of it.
func (t *Training) iterate(ctx context.Context) error {
	t.lastSave = time.Now()
	for {
		if err := t.checkpoint(ctx); err != nil {
			return err
		}
		if t.state.Rollouts == nil {
			done, err := t.sample(ctx)
			if err != nil {
				return errors.Join(err, t.interrupted(ctx))
			}
			if done {
				t.runtime.Progress(steps.Event{
					Done: float64(t.state.Iteration), Total: float64(t.Config.Iterations), Unit: "iterations", Step: int64(t.state.Iteration), FLOPs: t.flops,
				})
				return nil
			}
		}
		figures := maps.Clone(t.state.Figures)
		maps.Copy(figures, t.Method.Weigh(t.state.Rollouts))
		if err := t.learn(ctx, figures); err != nil {
			return err
		}
		maps.Copy(figures, t.state.Updates.Figures())
		figures["sampler_gap"] = t.state.Gap
		if err := t.tell(figures); err != nil {
			return err
		}
		t.Method.Adapt(t.state.Figures["kl"], len(t.state.Rollouts))
		s := &t.state
		s.Iteration++
		s.Rollouts, s.Epoch, s.Batch, s.Left, s.Updates = nil, 0, 0, false, finetune.Means{}
		t.unsaved++
	}
}

// interrupted saves what an interrupted iteration has not saved yet.
func (t *Training) interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return t.checkpoint(ctx)
}

// checkpoint saves one if it is time, or if ctx has ended, whose error it then returns.
func (t *Training) checkpoint(ctx context.Context) error {
	stop := ctx.Err()
	every := time.Duration(t.Config.CheckpointEvery * float64(time.Second))
	if t.unsaved > t.saved && (stop != nil || time.Since(t.lastSave) >= every) {
		if err := t.runtime.Checkpoint(t.save); err != nil {
			return errors.Join(stop, err)
		}
		t.saved, t.lastSave = t.unsaved, time.Now()
	}
	return stop
}

// sample starts an iteration: it samples answers, has them scored and read. It reports whether the run has come to its
// end, by its length or by its bound.
func (t *Training) sample(ctx context.Context) (done bool, err error) {
	c, s := &t.Config, &t.state
	rollouts, err := t.rollouts(ctx)
	if err != nil {
		return false, err
	}
	figures := measure(rollouts)
	if t.Bound != nil && figures["kl"] > *t.Bound && t.snapshot != nil {
		t.runtime.Warn("iteration %d: the policy is %.3f nats per answer from the reference, beyond kl.bound = %g: training ends, and the policy before this iteration is the result",
			s.Iteration, figures["kl"], *t.Bound)
		s.Bounded = true
		figures["iteration"] = float64(s.Iteration)
		t.write(t.snapshot)
		return true, t.runtime.Metric(int64(s.Iteration), figures)
	}
	s.Figures = figures
	if s.Iteration == 0 {
		s.First, s.Length = figures["reward"], figures["length"]
	}
	s.Samples = append(s.Samples, t.samples(rollouts)...)
	if s.Iteration == c.Iterations {
		figures = maps.Clone(figures)
		figures["iteration"] = float64(s.Iteration)
		t.warn(figures)
		return true, t.runtime.Metric(int64(s.Iteration), figures)
	}
	s.Rollouts = rollouts
	if t.Bound != nil {
		t.snapshot = t.weights()
	}
	t.unsaved++
	return false, nil
}

// rollouts samples answers with the policy as it is.
func (t *Training) rollouts(ctx context.Context) ([]Rollout, error) {
	c := &t.Config
	numbers := chosen(len(t.prompts), c.Rollout.Prompts, t.state.Iteration, t.runtime.Seed())
	var which []int
	for _, number := range numbers {
		which = append(which, slices.Repeat([]int{number}, t.Group)...)
	}
	drawn, err := t.base.Draw(ctx, t.model, pick(t.prompts, which), llm.Sampling{
		MaxTokens: c.Rollout.Tokens, Temperature: c.Rollout.Temperature, Seed: mix(t.runtime.Seed(), t.state.Iteration),
	})
	if err != nil {
		return nil, err
	}
	rollouts, judged := make([]Rollout, len(drawn)), make([]reward.Answer, len(drawn))
	for i, a := range drawn {
		rollouts[i] = Rollout{Answer: a, Prompt: which[i]}
		judged[i] = reward.Answer{Answer: a, Prompt: &t.prompts[which[i]]}
	}
	for i := range rollouts {
		t.flops += t.cost(&rollouts[i]).rollout
	}
	scores, err := t.judge.Score(ctx, judged)
	if err != nil {
		return nil, err
	}
	if t.state.Gap, err = t.reread(ctx, rollouts); err != nil {
		return nil, err
	}
	refs, err := read(ctx, t.reference, t.prompts, rollouts, t.micro, c.Rollout.Temperature)
	if err != nil {
		return nil, err
	}
	for i := range rollouts {
		r := &rollouts[i]
		r.Score, r.Ref = scores[i], refs[i]
		if !r.Ended {
			r.Score.Total -= c.Rollout.MissingEnd
		}
	}
	if t.critic == nil {
		return rollouts, nil
	}
	values, err := read(ctx, t.critic, t.prompts, rollouts, t.micro, 1)
	for i, of := range values {
		for n := range of {
			of[n] -= t.critic.Config.ScoreShift
		}
		rollouts[i].Values = of
	}
	return rollouts, err
}

// reread replaces the log-probabilities that answers were sampled with by those of the training's own precision, so that
// the ratio of a policy to itself is 1. It returns the mean distance per token.
func (t *Training) reread(ctx context.Context, rollouts []Rollout) (float64, error) {
	if t.model.Precision() == gpu.Float32 { // as it samples
		return 0, nil
	}
	own, err := read(ctx, t.model, t.prompts, rollouts, t.micro, t.Config.Rollout.Temperature)
	if err != nil {
		return 0, err
	}
	sum, tokens := 0.0, 0
	for i, logp := range own {
		for n := range logp {
			sum += math.Abs(logp[n] - rollouts[i].Logp[n])
		}
		tokens += len(logp)
		rollouts[i].Logp = logp
	}
	return sum / float64(max(1, tokens)), nil
}

// learn takes the optimizer steps of an iteration, from where it is.
func (t *Training) learn(ctx context.Context, figures map[string]float64) error {
	c, s := &t.Config, &t.state
	lr := t.schedule.At(int64(s.Iteration), int64(s.Iteration)+1)
	figures["lr"] = lr
	size := c.Update.Size
	for ; s.Epoch < t.Epochs && !s.Left; s.Epoch, s.Batch = s.Epoch+1, 0 {
		order := rand.New(rand.NewPCG(mix(t.runtime.Seed(), s.Iteration), uint64(s.Epoch)+1)).Perm(len(s.Rollouts))
		for ; s.Batch*size < len(order) && !s.Left; s.Batch++ {
			if err := t.checkpoint(ctx); err != nil {
				return err
			}
			which := order[s.Batch*size : min(len(order), (s.Batch+1)*size)]
			if err := t.step(pack(t.prompts, s.Rollouts, which, t.micro), lr); err != nil {
				return fmt.Errorf("iteration %d: %w", s.Iteration+1, err)
			}
			for _, i := range which {
				t.flops += t.cost(&s.Rollouts[i]).update
			}
			t.unsaved++
			t.progress(figures)
		}
	}
	return nil
}

// step takes one optimizer step of the policy, and one of the critic.
func (t *Training) step(batches []*train.Batch, lr float64) error {
	s := &t.state
	r, err := t.policy.Step(batches, lr)
	if err != nil {
		return err
	}
	figures := t.policyO.Figures()
	figures["grad_norm"] = r.GradNorm
	if s.Epoch == 0 && s.Batch == 0 { // the weights are those that sampled
		s.Gap += figures["logp_change"]
	}
	if bound := t.Config.Update.Bound; bound != nil && figures["approx_kl"] > *bound {
		s.Left = true
	}
	figures["left_early"] = 0
	if s.Left {
		figures["left_early"] = 1
	}
	if t.values != nil {
		r, err := t.values.Step(batches, lr)
		if err != nil {
			return fmt.Errorf("the critic: %w", err)
		}
		maps.Copy(figures, t.criticO.Figures())
		figures["critic_grad_norm"] = r.GradNorm
	}
	s.Updates.Add(float64(r.Units), figures)
	return nil
}

// progress shows how far the run is.
func (t *Training) progress(figures map[string]float64) {
	c, s := &t.Config, &t.state
	each := (len(s.Rollouts) + c.Update.Size - 1) / c.Update.Size
	t.runtime.Progress(steps.Event{
		Done: float64(s.Iteration) + float64(s.Epoch*each+s.Batch+1)/float64(each*t.Epochs), Total: float64(c.Iterations), Unit: "iterations",
		FLOPs: t.flops, Step: int64(s.Iteration), Metrics: map[string]float64{"reward": figures["reward"], "kl": figures["kl"]},
	})
}

// cost is the price of all tokens of a dialogue with its answer, as Estimate foretells it.
func (t *Training) cost(r *Rollout) price {
	var critic *llm.Config
	if t.critic != nil {
		critic = &t.critic.Config
	}
	length := len(t.prompts[r.Prompt].IDs) + len(r.IDs)
	p := priced(t.model.Config, t.judge.Shape(), critic, t.model.Precision() != gpu.Float32, length)
	return price{rollout: p.rollout * float64(length), update: p.update * float64(length)}
}

// tell records the figures of an iteration.
func (t *Training) tell(figures map[string]float64) error {
	figures["iteration"] = float64(t.state.Iteration)
	t.warn(figures)
	t.runtime.Log("iteration %d: reward %.4f, kl %.4f, entropy %.4f, length %.1f, clipped %.3f", t.state.Iteration,
		figures["reward"], figures["kl"], figures["entropy"], figures["length"], figures["clip_fraction"])
	return t.runtime.Metric(int64(t.state.Iteration), figures)
}
