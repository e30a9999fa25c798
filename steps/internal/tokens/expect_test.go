package tokens

import "testing"

func TestExpect(t *testing.T) {
	for _, c := range []struct{ bytes, vocabulary, low, high float64 }{
		{3.2e6, 4096, 0.97e6, 1.03e6}, {4.6e6, 128256, 0.97e6, 1.03e6}, {1000, 0, 380, 430}, {0, 4096, 0, 0},
	} {
		if got := float64(Expect(c.bytes, c.vocabulary)); got < c.low || got > c.high {
			t.Errorf("%g bytes at %g tokens: %g", c.bytes, c.vocabulary, got)
		}
	}
}
