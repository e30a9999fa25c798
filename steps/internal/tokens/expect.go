package tokens

import "math"

// BytesPerToken is the name of the fact that says what a tokenizer that exists makes of text.
const BytesPerToken = "bytes_per_token"

// Expect foretells how many tokens a text of so many bytes will be, by the facts of a tokenizer or of a model that has it.
// Before there is one, it goes by vocab_size: what a token holds grows with the logarithm of the vocabulary, about 3.2 bytes
// at 4,096 tokens, 4.6 at 128k.
func Expect(bytes float64, facts map[string]float64) float64 {
	if n := facts[BytesPerToken]; n > 0 {
		return bytes / n
	}
	return bytes / (0.27 * math.Log2(max(512, facts["vocab_size"])))
}
