package tokens

import "testing"

func TestExpect(t *testing.T) {
	for _, c := range []struct{ bytes, vocabulary, perToken, low, high float64 }{
		{3.2e6, 4096, 0, 0.97e6, 1.03e6}, {4.6e6, 128256, 0, 0.97e6, 1.03e6}, {1000, 0, 0, 380, 430}, {0, 4096, 0, 0, 0},
		{1000, 128256, 2.5, 400, 400}, // what a tokenizer does counts for more than its size
	} {
		facts := map[string]float64{"vocab_size": c.vocabulary}
		if c.perToken > 0 {
			facts[BytesPerToken] = c.perToken
		}
		if got := Expect(c.bytes, facts); got < c.low || got > c.high {
			t.Errorf("%g bytes at %g tokens, %g bytes each: %g", c.bytes, c.vocabulary, c.perToken, got)
		}
	}
}
