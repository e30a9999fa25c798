package traintest

import (
	"math"
	"math/rand/v2"
	"testing"

	"athanor/gpu"
	"athanor/steps/internal/train"
)

// CheckObjective compares the derivatives that an objective states with central differences, at random numbers of the
// head that suit log-probabilities.
func CheckObjective(t testing.TB, name string, o train.Objective, b *train.Batch) {
	t.Helper()
	const step = 1e-5
	random := rand.New(rand.NewPCG(4, 5))
	n := b.Stream.Len()
	logp := make([]float64, n)
	for i, target := range b.Stream.Targets {
		if target != gpu.NoTarget {
			logp[i] = -math.Abs(random.NormFloat64())
		}
	}
	loss := func(h *train.Head) float64 {
		*h = train.Head{Logp: logp, LSE: make([]float64, n), DLogp: make([]float64, n), DLSE: make([]float64, n)}
		return o.Loss(b, h)
	}
	var h, scratch train.Head
	loss(&h)
	for i := range logp {
		at := logp[i]
		logp[i] = at + step
		above := loss(&scratch)
		logp[i] = at - step
		want := (above - loss(&scratch)) / (2 * step)
		logp[i] = at
		if math.Abs(h.DLogp[i]-want) > 1e-7 {
			t.Errorf("%s: the derivative at token %d is %v, central differences give %v", name, i, h.DLogp[i], want)
		}
	}
}
