// Package llm is the Llama 3 language model on a [gpu.Device]: its configuration, its weights, its forward and its
// backward, its folder on disk and its sampling.
//
// Start at [New] or [Load]. To train:
//
//	m, err := llm.Load(dev, dir)
//	err = m.Training(maxTokens)            // gradients, and room for the activations of streams up to that length
//	m.ZeroGrad()
//	err = m.Forward(stream)
//	err = m.LogProbs(logp, lse, stream, 1)
//	…an objective turns logp and lse into their derivatives…
//	err = m.Backward(stream, 1, dLogp, dLSE)
//
// The backward is written by hand, operator by operator, beside the forward (forward.go, backward.go). To generate,
// call [Model.Generate]. Folders are Hugging Face's, float32 (folder.go).
//
// The package knows no tokens as text, no data, no objective and no optimizer: tokenizers are steps/internal/bpe, the
// training loop is steps/internal/train. The letters N, D, H, G, E, F, L and V are those of package gpu.
//
// A model is float32 until [Model.SetPrecision] asks for something else; a device that keeps tensors in bfloat16 then gets
// weights with float32 masters beside them, which are what optimizers update and folders and checkpoints hold (param.go).
package llm
