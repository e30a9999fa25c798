package gpu

import "errors"

// ErrOutOfMemory is wrapped by the error of an allocation that did not fit; the message says what was asked and what
// is free.
var ErrOutOfMemory = errors.New("out of device memory")

// Info describes a device to people and to the planner.
type Info struct {
	Kind    string // "cpu", "cuda" or "ref"
	Name    string // as the maker prints it, with the code path chosen: "AMD EPYC (avx512)"
	Threads int    // worker threads, 0 where that means nothing
	Memory  int64  // bytes that allocations may use, 0 if unknown
}

// A Device holds tensors and runs the operators on them. Calls come from one goroutine at a time and take effect in
// order; those that return host numbers wait for what they depend on.
type Device interface {
	Info() Info

	// Precisions lists what SetPrecision takes, the fastest first.
	Precisions() []Precision
	// SetPrecision holds for all products that follow; a device is opened with Float32, which every device takes. It
	// fails for a precision that is not among Precisions.
	SetPrecision(p Precision) error
	// Storage is the type that the weights and activations of a model best have here in one of the Precisions: BF16 where the
	// operators gain by it, and then weights have a float32 master beside them for the optimizer.
	Storage(p Precision) DType

	// Alloc returns a zeroed tensor.
	Alloc(t DType, rows, cols int) (Tensor, error)
	// Free gives an allocation back. t is what Alloc returned, not a slice of it.
	Free(t Tensor)
	// Write fills dst from host memory, rounding to its type; len(src) = dst.Len().
	Write(dst Tensor, src []float32)
	// Read waits for src and copies it to host memory; len(dst) = src.Len().
	Read(dst []float32, src Tensor)
	Zero(t Tensor)
	// Copy sets dst = src, which has the same shape and type.
	Copy(dst, src Tensor)
	// Sync waits for all work and returns the first fault since the device was opened.
	Sync() error
	Close() error

	Trunk
	Heads
	Optimizer
	Decoder
}

// Trunk is what the layers of the transformer are made of.
type Trunk interface {
	// Embed sets out[n] = table[s.IDs[n]]. out [N, D], table [V, D].
	Embed(out, table Tensor, s *Stream)
	// EmbedBackward adds dOut[n] to row s.IDs[n] of dTable.
	EmbedBackward(dTable, dOut Tensor, s *Stream)

	// RMSNorm sets out[n] = x[n]·rstd[n]·weight with rstd[n] = 1/√(mean(x[n]²)+eps) (arXiv 1910.07467).
	// out, x [N, D]; rstd [N, 1], kept for the backward; weight [1, D].
	RMSNorm(out, rstd, x, weight Tensor, eps float32)
	// RMSNormBackward sets dx = add + the gradient with respect to x, and adds to dWeight. add may be zero, or dx; dx may share
	// memory with x.
	RMSNormBackward(dx, dWeight, dOut, x, weight, rstd, add Tensor)

	// Linear sets y = add + x·wᵀ. y, add [N, O]; x [N, I]; w [O, I]. add may be zero, or y. Where x and w are bfloat16,
	// y and add may be float32.
	Linear(y, x, w, add Tensor)
	// LinearBackwardInput sets dx = add + dy·w. dx, add [N, I]; dy [N, O]. add may be zero, or dx.
	LinearBackwardInput(dx, dy, w, add Tensor)
	// LinearBackwardWeight adds dyᵀ·x to dw [O, I].
	LinearBackwardWeight(dw, dy, x Tensor)

	// Rope rotates each head of x [N, heads·E] in place by its token's position (arXiv 2104.09864), pairing element i
	// with i+E/2 as Hugging Face does. inverse rotates by the negative angles, which is the backward; Scale stays.
	Rope(x Tensor, r *Rope, s *Stream, inverse bool)

	// Attention is causal attention within each segment, scaled by 1/√E. q, out [N, H·E]; k, v [N, G·E]; lse [N, H]
	// keeps log Σ exp of each row of scores for the backward. Query head h reads key/value head h·G/H
	// (arXiv 2305.13245). The S×S scores are never stored (arXiv 2307.08691).
	Attention(out, lse, q, k, v Tensor, headSize int, s *Stream)
	// AttentionBackward sets dq, dk and dv.
	AttentionBackward(dq, dk, dv, dOut, out, lse, q, k, v Tensor, headSize int, s *Stream)

	// SwiGLU sets out = silu(gate)·up, all [N, F] (arXiv 2002.05202).
	SwiGLU(out, gate, up Tensor)
	// SwiGLUBackward sets dGate and dUp, and out as SwiGLU does, which the gradient of the weights that come next needs.
	// dGate, dUp and out may share memory with gate, up and dOut respectively.
	SwiGLUBackward(dGate, dUp, out, dOut, gate, up Tensor)
}

// Rope holds one angle per pair of a head's elements.
type Rope struct {
	HeadSize int       // E
	InvFreq  []float64 // [E/2] radians per position
	Scale    float64   // of both cosine and sine: 1, or YaRN's attention factor
}

// Heads turn the trunk's last activations into numbers per token for an objective on the host.
type Heads interface {
	// LMHead computes, for each token with a target, logp[n] = log softmax(x[n]·wᵀ/temperature)[target] and
	// lse[n] = log Σ exp(x[n]·wᵀ/temperature); 0 for both where there is no target. x [N, D], w [V, D]. The N×V logits
	// never exist whole. lse may be nil.
	LMHead(logp, lse []float64, x, w Tensor, s *Stream, temperature float64) error
	// LMHeadBackward sets dx and adds to dw, given the derivative of the loss with respect to each logp and lse;
	// dLSE may be nil. dw may be zero for a frozen head.
	LMHeadBackward(dx, dw, x, w Tensor, s *Stream, temperature float64, dLogp, dLSE []float64)
}

// A TokenLoss gives the derivatives of a loss that is a sum over tokens, from the logp and lse of token n. It may be
// called from several goroutines.
type TokenLoss func(n int, logp, lse float64) (dLogp, dLSE float64)

// A LossHead is a device that can compute LMHead and LMHeadBackward at once, and so the logits only once. A device need
// not have it.
type LossHead interface {
	// LMHeadLoss sets logp and lse as LMHead does, and dx and dw as LMHeadBackward does with the derivatives that loss
	// gives: the same bits, unless both derivatives of a token with a target are 0, which LMHeadBackward leaves out.
	LMHeadLoss(logp, lse []float64, dx, dw, x, w Tensor, s *Stream, temperature float64, loss TokenLoss) error
}

// An AdamWTensor is one tensor for the optimizer to update; its members all have as many elements.
type AdamWTensor struct {
	Weight Tensor // what the operators read: float32, or bfloat16 beside a master
	Master Tensor // the float32 weight that is updated; zero when Weight is itself float32
	Grad   Tensor // float32
	M, V   Tensor // float32 moments
	LR     float64
	Decay  float64 // decoupled weight decay, multiplied by LR
}

// AdamWStep is what all tensors of one optimizer step share.
type AdamWStep struct {
	Beta1, Beta2, Eps float64
	Step              int     // counted from 1, for the bias correction
	GradScale         float64 // multiplies each gradient first: clipping
}

// Optimizer updates weights.
type Optimizer interface {
	// AdamW applies decoupled AdamW (arXiv 1711.05101, algorithm 2) to every tensor.
	AdamW(tensors []AdamWTensor, h AdamWStep)
	// SumSquares is Σ g² over all the tensors.
	SumSquares(tensors []Tensor) (float64, error)
}

// A Cache keeps the keys and values of B sequences of at most T tokens for one layer. Row b·T+t holds token t of
// sequence b.
type Cache struct {
	K, V     Tensor // [B·T, G·E]
	Capacity int    // T
}

// Decoder is what generation needs beside the trunk.
type Decoder interface {
	// Store writes row i of k and v [n, G·E] at position positions[i] of sequence slots[i].
	Store(c Cache, k, v Tensor, slots, positions []int32)
	// DecodeAttention attends from one new token per row: row i of q [n, H·E] reads tokens [0, lengths[i]) of sequence
	// slots[i], its own (already stored) included. out [n, H·E].
	DecodeAttention(out, q Tensor, c Cache, headSize int, slots, lengths []int32)
}
