package figure

import (
	"math"
	"slices"
)

const (
	manyPoints = 60  // of a line, from which on it is smoothed
	column     = 2.0 // pixels that are told apart along x
	spread     = 5.0 // pixels: the standard deviation of the weights of smooth
	hovers     = 40  // places of a line that say their values
)

// thin leaves of each column of pixels the first point, the lowest, the highest and the last: the picture is that of all
// points, spikes included, and its size does not depend on their number.
func thin(points []place) []place {
	var out []place
	for i := 0; i < len(points); {
		j, low, high := i, i, i
		for ; j < len(points) && math.Floor(points[j].x/column) == math.Floor(points[i].x/column); j++ {
			if points[j].y < points[low].y {
				low = j
			}
			if points[j].y > points[high].y {
				high = j
			}
		}
		at := []int{i, low, high, j - 1}
		slices.Sort(at)
		for _, k := range slices.Compact(at) {
			out = append(out, points[k])
		}
		i = j
	}
	return out
}

// smooth is the mean of the points around each column of pixels, those near by weighing most (a Gaussian in pixels, so
// that a logarithmic axis is smoothed as it is seen). Points come in ascending order of x.
func smooth(points []place, y *axis) []place {
	var out []place
	from := 0
	for i := 0; i < len(points); {
		at := points[i].x
		for from < len(points) && points[from].x < at-4*spread {
			from++
		}
		weights, sum := 0.0, 0.0
		for k := from; k < len(points) && points[k].x <= at+4*spread; k++ {
			d := (points[k].x - at) / spread
			w := math.Exp(-d * d / 2)
			weights += w
			sum += w * y.scale(points[k].vy)
		}
		v := y.unscale(sum / weights)
		out = append(out, place{at, y.place(v), points[i].vx, v})
		for next := at + column; i < len(points) && points[i].x < next; {
			i++
		}
	}
	return out
}
