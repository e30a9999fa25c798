package train

import (
	"testing"
	"time"

	"athanor/gpu/cpu"
	"athanor/steps"
	"athanor/steps/internal/llm"
)

func shape(layers, dim, ffn, heads, kv, vocab int) llm.Config {
	return llm.Config{
		VocabSize: vocab, HiddenSize: dim, IntermediateSize: ffn, NumHiddenLayers: layers, NumAttentionHeads: heads,
		NumKeyValueHeads: kv, HeadDim: dim / heads, MaxPositionEmbeddings: 8192, RMSNormEps: 1e-5, RopeTheta: 1e4,
	}
}

// What fits is measured as it is; what does not loses tokens, then layers, then width.
func TestCut(t *testing.T) {
	small, llama := shape(4, 128, 352, 4, 2, 4096), shape(126, 16384, 53248, 128, 8, 128256)
	for _, test := range []struct {
		name       string
		c          llm.Config
		tokens     int64
		context    int
		operations float64
		tokensLeft int
		layersLeft int
		widthLeft  int
	}{
		{"all of it", small, 1280, 256, 1e12, 1280, 4, 128},
		{"fewer tokens", small, 2048, 1024, 6e9, 512, 4, 128},
		{"fewer layers", small, 2048, 256, 1.5e9, 256, 2, 128},
		{"nothing less", small, 2048, 256, 1, 256, 1, 128},
		{"narrower", llama, 8192, 8192, 1e10, 256, 1, 512},
	} {
		p := cut(test.c, test.tokens, test.context, test.operations)
		if p.tokens != test.tokensLeft || p.config.NumHiddenLayers != test.layersLeft || p.config.HiddenSize != test.widthLeft {
			t.Errorf("%s: %d tokens, %d layers of %d", test.name, p.tokens, p.config.NumHiddenLayers, p.config.HiddenSize)
		}
		if p.context > p.tokens || p.context > test.context {
			t.Errorf("%s: a context of %d", test.name, p.context)
		}
		if err := p.config.Validate(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// The device that Speed has measured is as it was: a second measurement, and another model, find room.
func TestSpeed(t *testing.T) {
	dev, err := cpu.Open(2)
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	training := &steps.Training{Context: 64, BatchTokens: 200, MicroTokens: 128, Trained: 1}
	for _, c := range []llm.Config{shape(2, 64, 192, 4, 2, 300), shape(3, 32, 96, 2, 1, 500)} {
		training.Score, training.Segment = !training.Score, 20
		speed, err := Speed(dev, c, training, 20*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if peak := steps.Peak(dev); speed <= 0 || speed > 2*peak {
			t.Errorf("%g operations per second, on a machine of %g", speed, peak)
		}
	}
}
