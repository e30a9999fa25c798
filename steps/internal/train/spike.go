package train

import (
	"fmt"
	"math"
)

// Spikes says which steps not to take: those whose loss or gradient norm is more than Sigma standard deviations above
// its mean over the last Window steps. A bad stretch of data then leaves no mark on weights and moments.
//
// No step is judged before half a window has been seen. A step that is not taken enters the statistics at the limit
// that it broke: one outlier then hardly widens the range, while a lasting change is accepted after a few steps and
// cannot stop training for good.
type Spikes struct {
	Sigma  float64
	Window int // steps; 0: every step is taken
}

// Validate reports statistics that cannot be kept.
func (s Spikes) Validate() error {
	if s.Window != 0 && (s.Window < 2 || !(s.Sigma > 0)) {
		return fmt.Errorf("spikes of more than %g standard deviations over %d steps: at least 2 steps and more than 0", s.Sigma, s.Window)
	}
	return nil
}

// A guard keeps the statistics of Spikes: its part of a checkpoint.
type guard struct {
	rule Spikes

	Loss []float64 `json:"loss"` // of the last steps, oldest first
	Norm []float64 `json:"grad_norm"`
}

// judge enters a step into the statistics. If it is not to be taken, the answer says why; else it is "".
func (g *guard) judge(loss, norm float64) string {
	why := ""
	for _, figure := range []struct {
		name    string
		history *[]float64
		value   float64
	}{{"gradient norm", &g.Norm, norm}, {"loss", &g.Loss, loss}} {
		v := figure.value
		if len(*figure.history) >= max(2, g.rule.Window/2) {
			mean, deviation := moments(*figure.history)
			if limit := mean + g.rule.Sigma*deviation; v > limit {
				why = fmt.Sprintf("the %s %.4g is above %.4g, which is %g standard deviations (%.2g) over its mean of %.4g",
					figure.name, v, limit, g.rule.Sigma, deviation, mean)
				v = limit
			}
		}
		*figure.history = append(*figure.history, v)
		if extra := len(*figure.history) - g.rule.Window; extra > 0 {
			*figure.history = append((*figure.history)[:0], (*figure.history)[extra:]...)
		}
	}
	return why
}

// moments returns the mean and the standard deviation of at least two values.
func moments(values []float64) (mean, deviation float64) {
	for _, v := range values {
		mean += v
	}
	mean /= float64(len(values))
	for _, v := range values {
		deviation += (v - mean) * (v - mean)
	}
	return mean, math.Sqrt(deviation / float64(len(values)-1))
}
