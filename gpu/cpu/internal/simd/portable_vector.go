package simd

import "math"

// lanes is how many partial sums the portable reductions keep: as many as an AVX-512 register holds, so that rounding
// errors grow alike on every path.
const lanes = 16

func dotPortable(x, y []float32) float32 {
	var s [lanes]float32
	y = y[:len(x)]
	n := len(x) &^ (lanes - 1)
	for i := 0; i < n; i += lanes {
		a, b := x[i:][:lanes], y[i:][:lanes]
		for j := range s {
			s[j] += a[j] * b[j]
		}
	}
	for i := n; i < len(x); i++ {
		s[i-n] += x[i] * y[i]
	}
	return sumLanes(&s)
}

func dot3Portable(x, y, z []float32) float32 {
	var s [lanes]float32
	for i := range x {
		s[i%lanes] += x[i] * y[i] * z[i]
	}
	return sumLanes(&s)
}

// sumLanes adds the partial sums as a tree.
func sumLanes(s *[lanes]float32) float32 {
	for w := lanes / 2; w > 0; w /= 2 {
		for j := range w {
			s[j] += s[j+w]
		}
	}
	return s[0]
}

func dotRowsPortable(out, x, w []float32, ldw int) {
	for i := range out {
		out[i] = dotPortable(x, w[i*ldw:][:len(x)])
	}
}

const portableDotRows = 4

func dotBlockPortable(out []float32, ldo int, x []float32, ldx int, w []float32, ldw, depth, n int) {
	for i := range portableDotRows {
		clear(out[i*ldo:][:n])
	}
	addDots(out, ldo, x, ldx, w, ldw, depth, portableDotRows, n)
}

// addDots adds the products of rows of x and n rows of w.
func addDots(out []float32, ldo int, x []float32, ldx int, w []float32, ldw, depth, rows, n int) {
	for j := range n {
		row := w[j*ldw:][:depth]
		for i := range rows {
			out[i*ldo+j] += dotPortable(x[i*ldx:][:depth], row)
		}
	}
}

func addRowsPortable(out, p, v []float32, ldv int) {
	for i, f := range p {
		for j, x := range v[i*ldv:][:len(out)] {
			out[j] += f * x
		}
	}
}

func addPortable(out, x []float32) {
	for i, v := range x {
		out[i] += v
	}
}

func scalePortable(x []float32, s float32) {
	for i := range x {
		x[i] *= s
	}
}

func maxPortable(x []float32) float32 {
	m := x[0]
	for _, v := range x {
		m = max(m, v)
	}
	return m
}

func scaleMulPortable(out, x, w []float32, s float32) {
	for i := range out {
		out[i] = x[i] * s * w[i]
	}
}

func normBackwardPortable(dx, dw, dy, x, w, add []float32, rstd, c float32) {
	for i := range dx {
		dw[i] += dy[i] * x[i] * rstd
		g := rstd * (dy[i]*w[i] - x[i]*c)
		if add != nil {
			g += add[i]
		}
		dx[i] = g
	}
}

func rotatePortable(a, b, cos, sin []float32) {
	for i := range a {
		x, y := a[i], b[i]
		a[i] = x*cos[i] - y*sin[i]
		b[i] = y*cos[i] + x*sin[i]
	}
}

func swigluPortable(out, gate, up []float32) {
	for i, g := range gate {
		out[i] = g / (1 + exp(-g)) * up[i]
	}
}

func swigluBackwardPortable(dGate, dUp, out, dOut, gate, up []float32) {
	for i, g := range gate {
		s := 1 / (1 + exp(-g))
		d, u := dOut[i], up[i]
		dUp[i] = d * g * s
		dGate[i] = d * u * s * (1 + g*(1-s))
		out[i] = g * s * u
	}
}

func expSumPortable(x []float32, scale, shift float32) float64 {
	var sum float64
	for i, v := range x {
		e := exp(v*scale - shift)
		x[i] = e
		sum += float64(e)
	}
	return sum
}

func columnExpPortable(m, sum, s []float32, ld, rows int, scale float32) {
	copy(m, s)
	for r := range rows {
		for c, x := range s[r*ld:][:len(m)] {
			m[c] = max(m[c], x)
		}
	}
	clear(sum)
	for r := range rows {
		row := s[r*ld:][:len(m)]
		for c, x := range row {
			row[c] = exp((x - m[c]) * scale)
			sum[c] += row[c]
		}
	}
}

func columnScalePortable(s []float32, ld, rows int, f []float32) {
	for r := range rows {
		row := s[r*ld:][:len(f)]
		for c := range row {
			row[c] *= f[c]
		}
	}
}

func adamWPortable(w, g, m, v []float32, p *AdamW) {
	for i := range w {
		d := g[i] * p.GradScale
		m[i] = p.Beta1*m[i] + p.Beta1Rest*d
		v[i] = p.Beta2*v[i] + p.Beta2Rest*d*d
		w[i] = w[i]*p.WeightKeep - p.StepSize*m[i]/(sqrt(v[i])*p.InvBias2+p.Eps)
	}
}

func exp(x float32) float32  { return float32(math.Exp(float64(x))) }
func sqrt(x float32) float32 { return float32(math.Sqrt(float64(x))) }
