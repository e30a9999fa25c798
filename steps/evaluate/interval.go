package evaluate

import "math"

// A figure is a measured value and how sure it is.
type figure struct {
	Value  float64 `json:"value"`
	StdErr float64 `json:"stderr"`
	Low    float64 `json:"low"` // 95 % confidence interval
	High   float64 `json:"high"`
}

// normal95 is the quantile of the normal distribution for an interval that holds 95 %.
const normal95 = 1.959963984540054

// ratio is Σnum/Σden over the items that a task has, with the standard error of a ratio of sums of pairs (Cochran,
// Sampling Techniques, section 2.11). Where every den is 1 it is the mean, and the error that of
// lm-evaluation-harness: the sample's standard deviation over √n.
func ratio(num, den []float64) figure {
	var sumNum, sumDen float64
	for i := range num {
		sumNum += num[i]
		sumDen += den[i]
	}
	f := figure{Value: sumNum / sumDen}
	if n := float64(len(num)); n > 1 {
		squares := 0.0
		for i := range num {
			d := num[i] - f.Value*den[i]
			squares += d * d
		}
		f.StdErr = math.Sqrt(squares*n/(n-1)) / sumDen
	}
	f.Low, f.High = f.Value-normal95*f.StdErr, f.Value+normal95*f.StdErr
	return f
}

// share is how many of the items are right, each 0 or 1, with Wilson's interval, which holds for few items and near 0
// and 1 as well (Wilson 1927).
func share(right []float64) figure {
	f := ratio(right, ones(len(right)))
	n, z := float64(len(right)), normal95
	middle := (f.Value + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(f.Value*(1-f.Value)/n+z*z/(4*n*n))
	f.Low, f.High = max(0, middle-half), min(1, middle+half)
	return f
}

func ones(n int) []float64 {
	list := make([]float64, n)
	for i := range list {
		list[i] = 1
	}
	return list
}
