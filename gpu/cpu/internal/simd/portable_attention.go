package simd

func columnMaxPortable(m, s []float32, scale float32) {
	for len(s) > 0 {
		for c, x := range s[:len(m)] {
			m[c] = max(m[c], x*scale)
		}
		s = s[len(m):]
	}
}

func columnExpPortable(s []float32, scale float32, m, sum []float32) {
	for len(s) > 0 {
		row := s[:len(m)]
		for c, x := range row {
			e := exp(x*scale - m[c])
			row[c] = e
			sum[c] += e
		}
		s = s[len(m):]
	}
}

func columnScalePortable(s, f []float32) {
	for len(s) > 0 {
		row := s[:len(f)]
		for c := range row {
			row[c] *= f[c]
		}
		s = s[len(f):]
	}
}

func scoreBackwardPortable(s, dp []float32, scale float32, lse, delta []float32) {
	for len(s) > 0 {
		row, drow := s[:len(lse)], dp[:len(lse)]
		for c, x := range row {
			p := exp(x*scale - lse[c])
			row[c] = p
			drow[c] = p * (drow[c] - delta[c]) * scale
		}
		s, dp = s[len(lse):], dp[len(lse):]
	}
}
