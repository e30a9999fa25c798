package reinforce

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/finetune"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/reward"
	"athanor/steps/internal/train"
)

// A Method is what tells one way of learning from scored answers from another.
type Method interface {
	// Policy is the objective of the policy; a batch's Extra is its *Tokens.
	Policy() train.Telling
	// Critic is the objective of the critic, whose head says shift too much; nil if the method has none.
	Critic(shift float64) train.Telling
	// Weigh sets the advantages of an iteration's answers, and the returns for a critic. Answers to one prompt stand
	// side by side, as many as Training.Group. It returns figures, and the same ones for the same answers.
	Weigh(rollouts []Rollout) map[string]float64
	// Adapt ends an iteration: kl is its mean divergence from the reference, in nats per answer.
	Adapt(kl float64, answers int)
	// State is what Adapt has changed.
	State() ([]byte, error)
	Restore(state []byte) error
}

// A Training is one run of a step. The exported fields are the caller's to set.
type Training struct {
	Config Config
	Method Method
	Title  string         // of the report
	Group  int            // answers per prompt
	Epochs int            // over the answers of an iteration
	Bound  *float64       // nats per answer from the reference that end the run; nil: none
	Critic steps.Artifact // zero: the reward model, or else the policy with a new head

	runtime  *steps.Runtime
	base     *finetune.Base
	prompts  []finetune.Prompt
	counts   finetune.Counts
	micro    int
	schedule train.Schedule

	judge            *reward.Judge
	model, reference *llm.Model
	critic           *llm.Model // nil: none
	policy, values   *train.Trainer
	policyO, criticO train.Telling
	snapshot         [][]float32 // weights of the last policy within Bound, where there is one
	state            state
	flops            float64 // done by this process
	saved, unsaved   int64   // counts of changes to the state: at the last checkpoint, and now
	lastSave         time.Time
	closers          []func()
}

// Run trains, from the last checkpoint if there is one, and writes the model and the report.
func (t *Training) Run(ctx context.Context, rt *steps.Runtime) error {
	t.runtime = rt
	defer func() {
		for _, c := range t.closers {
			c()
		}
	}()
	if err := t.open(ctx); err != nil {
		return t.Config.blame(err, t.micro)
	}
	if err := rt.Curves(t.curves()); err != nil {
		return err
	}
	if err := t.load(); err != nil {
		return t.Config.blame(err, t.micro)
	}
	resumed, err := rt.Restore(t.restore)
	if err != nil {
		return err
	}
	if resumed {
		rt.Log("resuming in iteration %d, epoch %d, optimizer step %d", t.state.Iteration+1, t.state.Epoch+1, t.state.Batch+1)
	}
	if err := t.iterate(ctx); err != nil {
		return t.Config.blame(err, t.micro)
	}
	if err := t.base.Save(rt, t.model); err != nil {
		return err
	}
	t.settle()
	return t.report()
}

// open reads all but weights.
func (t *Training) open(ctx context.Context) error {
	c, rt := &t.Config, t.runtime
	var err error
	if t.base, err = finetune.Open(rt, c.Policy, nil, c.Context); err != nil {
		var blamed *steps.AttributeError
		if errors.As(err, &blamed) && blamed.Path == "model" {
			blamed.Path = "policy"
		}
		return err
	}
	if t.prompts, t.counts, err = t.base.Prompts(ctx, rt, c.Data, corpus.Train, c.Rollout.System, c.Rollout.Tokens); err != nil {
		return err
	}
	if err := t.counts.Report(rt, "answered"); err != nil {
		return err
	}
	longest := 0
	for _, p := range t.prompts {
		longest = max(longest, len(p.IDs)+c.Rollout.Tokens)
	}
	if t.micro, err = c.micro(longest); err != nil {
		return err
	}
	t.schedule = train.Schedule{
		Peak: c.Optimizer.LR, Warmup: int64(math.Round(c.Schedule.Warmup * float64(c.Iterations))), Total: int64(c.Iterations),
		Shape: train.Shape(c.Schedule.Shape), Final: c.Schedule.Final,
	}
	if t.judge, err = reward.Open(rt, c.Config, t.base, longest); err != nil {
		return err
	}
	t.closers = append(t.closers, t.judge.Close)
	return t.schedule.Validate()
}

// load loads the models.
func (t *Training) load() error {
	dev, err := t.runtime.Device()
	if err != nil {
		return err
	}
	keep := func(m *llm.Model, err error) (*llm.Model, error) {
		if err != nil {
			return nil, err
		}
		t.closers = append(t.closers, m.Close)
		return m, t.Config.Numerics.Apply(m)
	}
	if t.model, err = keep(llm.Load(dev, t.base.Dir)); err != nil {
		return err
	}
	if t.reference, err = keep(llm.Load(dev, t.base.Dir)); err != nil {
		return err
	}
	if err := t.reference.Inference(t.micro); err != nil {
		return err
	}
	t.policyO = t.Method.Policy()
	if t.policy, err = t.trainer(t.model, t.policyO); err != nil {
		return err
	}
	t.policy.Temperature = t.Config.Rollout.Temperature
	if t.Method.Critic(0) == nil {
		return nil
	}
	dir := t.base.Dir
	switch {
	case !t.Critic.IsZero():
		if err := reward.CheckModel("critic", t.Critic, t.base); err != nil {
			return err
		}
		dir = t.Critic.Path
	case !t.Config.Reward.IsZero():
		dir = t.Config.Reward.Path
	}
	if t.critic, err = keep(llm.LoadScore(dev, dir, t.runtime.Seed())); err != nil {
		return fmt.Errorf("the critic: %w", err)
	}
	t.criticO = t.Method.Critic(t.critic.Config.ScoreShift)
	t.values, err = t.trainer(t.critic, t.criticO)
	return err
}

func (t *Training) trainer(m *llm.Model, o train.Objective) (*train.Trainer, error) {
	tr, err := train.NewTrainer(m.Device(), m, o, t.Config.Optimizer.adamW(), t.micro)
	if err == nil {
		t.closers = append(t.closers, tr.Close)
	}
	return tr, err
}
