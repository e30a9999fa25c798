package figure

import "math"

// An axis maps values to pixels.
type axis struct {
	log      bool
	min, max float64 // of the values, as logarithms if log
	from, to float64 // pixels of min and max
}

func newAxis(log bool) *axis { return &axis{log: log, min: math.Inf(1), max: math.Inf(-1)} }

// shows reports whether a value has a place on the axis.
func (a *axis) shows(v float64) bool {
	return !math.IsNaN(v) && !math.IsInf(v, 0) && (!a.log || v > 0)
}

func (a *axis) scale(v float64) float64 {
	if a.log {
		return math.Log10(v)
	}
	return v
}

func (a *axis) unscale(v float64) float64 {
	if a.log {
		return math.Pow(10, v)
	}
	return v
}

func (a *axis) include(v float64) {
	a.min, a.max = min(a.min, a.scale(v)), max(a.max, a.scale(v))
}

// settle gives the axis its pixels, and a range if the values have none.
func (a *axis) settle(from, to float64) {
	if a.min > a.max {
		a.min, a.max = 0, 1
	}
	if a.min == 0 && a.max == 0 && !a.log {
		a.max = 1
	}
	if a.min == a.max {
		pad := max(math.Abs(a.min)/10, 1e-9)
		a.min, a.max = a.min-pad, a.max+pad
	}
	a.from, a.to = from, to
}

// pad widens the range, so that no line lies on the frame. What begins or ends at 0 keeps to it.
func (a *axis) pad() {
	room := (a.max - a.min) * 0.05
	low, high := a.min-room, a.max+room
	if !a.log && a.min >= 0 {
		low = max(low, 0)
	}
	if !a.log && a.max <= 0 {
		high = min(high, 0)
	}
	a.min, a.max = low, high
}

func (a *axis) place(v float64) float64 {
	return a.from + (a.scale(v)-a.min)/(a.max-a.min)*(a.to-a.from)
}

// ticks returns some five round values within the range.
func (a *axis) ticks() []float64 {
	if a.log && a.max-a.min >= 1 {
		return a.decades()
	}
	low, high := a.min, a.max
	if a.log {
		low, high = math.Pow(10, low), math.Pow(10, high)
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*factor) <= 6 {
			step *= factor
			break
		}
	}
	var ticks []float64
	for i := math.Ceil(low / step); i <= math.Floor(high/step); i++ {
		ticks = append(ticks, i*step+0) // -0 is 0
	}
	return ticks
}

// decades returns powers of ten, with their doubles and quintuples where there are few.
func (a *axis) decades() []float64 {
	factors := []float64{1}
	if a.max-a.min < 3 {
		factors = []float64{1, 2, 5}
	}
	var ticks []float64
	for e := math.Floor(a.min); e <= a.max; e++ {
		for _, f := range factors {
			if l := e + math.Log10(f); l >= a.min && l <= a.max {
				ticks = append(ticks, f*math.Pow(10, e))
			}
		}
	}
	return ticks
}
