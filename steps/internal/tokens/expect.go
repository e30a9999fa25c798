package tokens

import "math"

// Expect foretells how many tokens a text of so many bytes will be, before there is a tokenizer. What a token holds grows
// with the logarithm of the vocabulary: about 3.2 bytes at 4,096 tokens, 4.6 at 128k.
func Expect(bytes, vocabulary float64) int64 {
	return int64(bytes / (0.27 * math.Log2(max(512, vocabulary))))
}
