// Package safetensors reads and writes the safetensors format: a length, a JSON header, then the elements of each tensor
// in a row.
//
// [Open] reads a file tensor by tensor, in parts of any size, as float32 from float32, bfloat16 or float16. [Write]
// writes float32 tensors from callbacks. Neither holds more than a part in memory. What tensors mean is for others:
// steps/internal/llm knows the names of a model.
//
// The format is that of Hugging Face's library of the same name, which has not changed it since its first release.
package safetensors
