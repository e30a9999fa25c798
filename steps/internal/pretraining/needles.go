package pretraining

import (
	"context"

	"athanor/steps"
	"athanor/steps/internal/bpe"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/needle"
	"athanor/steps/internal/tokens"
)

// Haystack is all held-out text of a mixture, to hide facts in.
func Haystack(set *tokens.Set, t *bpe.Tokenizer) (needle.Haystack, error) {
	hay := needle.Haystack{Tokenizer: t, Start: set.Manifest().BOS, Stop: []int32{set.Manifest().EOS}}
	for _, p := range set.Parts() {
		if p.HoldoutDocuments == 0 {
			continue
		}
		for d, err := range set.Holdout(p.Name) {
			if err != nil {
				return hay, err
			}
			hay.Documents = append(hay.Documents, d.IDs[1:len(d.IDs)-1]) // without BOS and EOS
		}
	}
	return hay, nil
}

// needles is the needle test of a run's evaluations; nil if it has none.
func needles(set *tokens.Set, t *bpe.Tokenizer, r *Run, seed uint64) (*needle.Test, error) {
	if r.Eval.Needle == nil {
		return nil, nil
	}
	hay, err := Haystack(set, t)
	if err != nil {
		return nil, err
	}
	if len(hay.Documents) == 0 {
		return nil, steps.Blame("data", "the data has no held-out documents to hide needles in: set holdout in its datasets")
	}
	test, err := needle.New(hay, *r.Eval.Needle, r.Context, seed)
	if err != nil {
		return nil, steps.Within("eval.needle", err)
	}
	return test, nil
}

// lookForNeedles adds what the needle test says to the figures of an evaluation; of is put before their names.
func (o *observer) lookForNeedles(ctx context.Context, m *llm.Model, step int64, of string, figures map[string]float64) error {
	found, err := o.needles.Run(ctx, m, nil)
	if err != nil {
		return err
	}
	loss, err := o.needles.ValueLoss(ctx, m)
	if err != nil {
		return err
	}
	n, all := found.Counts()
	o.rt.Log("needles at step %d: %d of %d found, and their values have a loss of %.4f", step, n, all, loss)
	figures[of+"needles"], figures[of+"value_loss"] = found.Share(), loss
	return nil
}
