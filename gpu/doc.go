// Package gpu is the narrow waist between the recipe and the hardware: tensors, token streams and the training
// operators of a Llama-style transformer, each forward beside its backward.
//
// A [Device] runs the operators. The implementations live beside this package and all pass the one suite in
// gpu/gputest:
//
//	gpu/ref   the specification: plain loops in float64, no tricks
//	gpu/cpu   Go and assembly; the default
//	gpu/cuda  NVIDIA GPUs, behind the build tag cuda
//
// There is no autograd and no graph. The model (steps/internal/llm) calls each operator and its backward by hand, in
// the order it wants, on buffers that it allocated once.
//
// # Letters
//
// Shapes everywhere use one set of letters:
//
//	N  tokens of a stream        S  segments (documents) of a stream
//	D  width of the model        H  query heads
//	G  key/value heads           E  size of one head
//	F  width of the feed-forward L  layers
//	V  vocabulary                I, O  inputs and outputs of a linear layer
//	B  sequences being decoded   T  capacity of a key/value cache, tokens per sequence
//
// Every matrix is row-major and contiguous. Weights of linear layers are [O, I], as in Hugging Face checkpoints.
//
// # Conventions
//
//   - The gradient of a weight is accumulated (+=); the gradient of an activation is overwritten, plus the operand add
//     where the operator has one.
//   - Wrong shapes are programmer errors and panic. A fault of the device itself (out of memory, a failed kernel)
//     is sticky and comes back from the next call that returns an error.
//   - Results do not depend on the number of threads, nor on what ran before: every reduction has a fixed order.
package gpu
