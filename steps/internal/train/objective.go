package train

import "athanor/gpu"

// A Batch is a micro-batch: as much of an optimizer step's batch as goes through the model at once.
type Batch struct {
	Stream gpu.Stream
	Extra  any // what the Source attaches for the Objective: loss weights, pairs, advantages, reference log-probabilities
}

// A Head holds what the model's head says about a micro-batch's N tokens, and the answer of the objective: the
// derivative of its summed loss. Entries of tokens without a target are 0, and an objective leaves theirs at 0.
type Head struct {
	Logp []float64 // [N] log-probability of each token's target
	LSE  []float64 // [N] log Σ exp of the logits, the logarithm of the softmax's normaliser

	DLogp []float64 // [N] ∂loss/∂Logp, zero on entry
	DLSE  []float64 // [N] ∂loss/∂LSE, zero on entry
}

// An Objective is a small pure function on the host: the head's numbers in, a loss and its derivative per token out.
type Objective interface {
	// Units is how many things of the micro-batch the loss is a mean over: supervised tokens, pairs. It looks at the
	// batch alone, because the units of the whole optimizer batch are counted before the first forward pass.
	Units(b *Batch) int
	// Loss returns the loss summed over the units of b and sets the derivative of that sum.
	Loss(b *Batch, h *Head) float64
}

// Telling is an Objective that has more to say about a step than its loss: margins, accuracy.
type Telling interface {
	Objective
	// Figures returns means over what Loss has seen since the last call.
	Figures() map[string]float64
}

// Preparing is an Objective that looks at the whole batch of an optimizer step before the gradient of the first of its
// micro-batches: what it takes from there does not depend on how the batch is cut.
type Preparing interface {
	Objective
	// Prepare may read streams with the model, which returns their head's Logp.
	Prepare(batches []*Batch, read func(s *gpu.Stream) ([]float64, error)) error
}

// CrossEntropy is −log p(target) per supervised token, plus ZLoss·log²Z, which keeps the softmax's normaliser Z near 1
// (PaLM, arXiv 2204.02311, section 5).
type CrossEntropy struct {
	ZLoss float64 // coefficient, 0 for none
}

// Units counts the tokens with a target.
func (CrossEntropy) Units(b *Batch) int { return countTargets(b.Stream.Targets) }

// Loss sums over the tokens with a target.
func (o CrossEntropy) Loss(b *Batch, h *Head) float64 {
	sum := 0.0
	for n, target := range b.Stream.Targets {
		if target == gpu.NoTarget {
			continue
		}
		z := h.LSE[n]
		sum += o.ZLoss*z*z - h.Logp[n]
		h.DLogp[n], h.DLSE[n] = o.derivatives(z)
	}
	return sum
}

// derivatives are those of a token's loss with respect to its logp and lse.
func (o CrossEntropy) derivatives(lse float64) (dLogp, dLSE float64) { return -1, 2 * o.ZLoss * lse }

func countTargets(targets []int32) int {
	count := 0
	for _, t := range targets {
		if t != gpu.NoTarget {
			count++
		}
	}
	return count
}
