package llm

import (
	"errors"

	"athanor/gpu"
)

// scoreName is the scalar head of a LlamaForSequenceClassification, [1, D].
const scoreName = "score.weight"

// ErrScore says that a model has a scalar head where a language model is wanted.
var ErrScore = errors.New("it is a reward model: it scores texts and predicts no words")

// LoadScore reads a folder as a model with a scalar head. Of a reward model it reads the head as well; a language model
// gives its trunk, and the head is initial: normal, with standard deviation 1/√(D+1), from the seed.
func LoadScore(dev gpu.Device, dir string, seed uint64) (*Model, error) {
	f, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	defer f.close()
	c := f.config
	if !c.Score {
		c = c.Scoring()
	}
	return f.load(dev, c, seed)
}

// Scoring is the shape with a scalar head in the place of the words'.
func (c Config) Scoring() Config {
	c.Score, c.ScoreShift = true, 0
	c.TieWordEmbeddings = false // there is no head of words to tie
	return c
}

// scores is LogProbs of a scalar head: the score of every token with a target. ScoreShift is not taken off.
func (m *Model) scores(score, lse []float64, s *gpu.Stream) error {
	n := s.Len()
	y := m.buffers.score.Slice(0, n)
	m.dev.Linear(y, m.buffers.normed.Slice(0, n), m.head.Weight, gpu.Tensor{})
	host := make([]float32, n)
	m.dev.Read(host, y)
	clear(lse)
	for i, target := range s.Targets {
		score[i] = 0
		if target != gpu.NoTarget {
			score[i] = float64(host[i])
		}
	}
	return m.dev.Sync()
}

// scoreBackward sets dNormed and adds to the head's gradient.
func (m *Model) scoreBackward(dNormed gpu.Tensor, s *gpu.Stream, dScore []float64) {
	n := s.Len()
	dy := m.buffers.dScore.Slice(0, n)
	host := make([]float32, n)
	for i, target := range s.Targets {
		if target != gpu.NoTarget {
			host[i] = float32(dScore[i])
		}
	}
	m.dev.Write(dy, host)
	m.dev.LinearBackwardInput(dNormed, dy, m.head.Weight, gpu.Tensor{})
	m.dev.LinearBackwardWeight(m.head.Grad, dy, m.buffers.normed.Slice(0, n))
}
