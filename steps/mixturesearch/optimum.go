package mixturesearch

import "math"

// optimum is the mixture within bounds at which the law is least: projected gradient descent, whose step is halved
// until it descends. The law is convex, so wherever it starts it ends there. The lows add up to at most 1, the highs to at
// least 1.
func optimum(l *law, low, high []float64) []float64 {
	k := len(low)
	w := make([]float64, k)
	for i := range w {
		w[i] = 1 / float64(k)
	}
	w = project(w, low, high)
	gradient, step := make([]float64, k), 1.0
	for range 20_000 {
		l.slope(w, gradient)
		before := l.at(w)
		moved := false
		for step *= 2; step > 1e-12; step /= 2 {
			next := make([]float64, k)
			for i := range next {
				next[i] = w[i] - step*gradient[i]
			}
			next = project(next, low, high)
			distance := 0.0
			for i := range next {
				distance += square(next[i] - w[i])
			}
			if distance < 1e-18 {
				break
			}
			if l.at(next) <= before-0.1*distance/step {
				w, moved = next, true
				break
			}
		}
		if !moved {
			break
		}
	}
	return w
}

// project is the mixture within bounds that is nearest to a point: min(max(v−τ, low), high), with the τ that makes it
// add up to 1, by bisection.
func project(v, low, high []float64) []float64 {
	out := make([]float64, len(v))
	shifted := func(tau float64) float64 {
		for i := range v {
			out[i] = math.Min(math.Max(v[i]-tau, low[i]), high[i])
		}
		return sum(out)
	}
	from, to := math.Inf(1), math.Inf(-1)
	for i := range v {
		from, to = min(from, v[i]-high[i]), max(to, v[i]-low[i])
	}
	for range 100 {
		if middle := (from + to) / 2; shifted(middle) > 1 {
			from = middle
		} else {
			to = middle
		}
	}
	shifted((from + to) / 2)
	return out
}
