package main

import (
	"fmt"
	"math"
	"strings"
)

// The exponential: x = n·ln 2 + r with integer n and |r| ≤ ln 2/2, and e^r by a polynomial of degree 6, whose
// coefficients from r² on were fitted by weighted least squares to the smallest greatest relative error, 3.1e-9. ln 2
// is split so that n times its first part is exact. All in all the relative error is at most 1.2e-7 (2^-23), as a test
// shows. Below the least normal number the result fades to 0 with AVX-512 and is 0 with AVX2; above the greatest it is
// infinite with AVX-512 and at least 2e38 with AVX2. NaN stays NaN.
var expConstants = []struct {
	name         string
	avx512, avx2 float64
}{
	{"low", -104, -87.33},
	{"high", 89, 88.3},
	{"log2e", math.Log2E, math.Log2E},
	{"ln2high", 0.693359375, 0.693359375},
	{"ln2low", math.Ln2 - 0.693359375, math.Ln2 - 0.693359375},
	{"one", 1, 1},
	{"c2", 0.4999999343189164, 0.4999999343189164},
	{"c3", 0.16666520396767054, 0.16666520396767054},
	{"c4", 0.041668390831157025, 0.041668390831157025},
	{"c5", 0.008368745320389245, 0.008368745320389245},
	{"c6", 0.0013814537903323976, 0.0013814537903323976},
}

// expTable writes the table of constants: one element each for AVX-512, which broadcasts them into registers, and a
// register's worth for AVX2, which has no registers to spare and uses them from memory.
func (s *isa) expTable() string {
	var text strings.Builder
	at := 0
	for _, c := range expConstants {
		value, times := c.avx512, 1
		if s == avx2 {
			value, times = c.avx2, s.lanes
		}
		for range times {
			fmt.Fprintf(&text, "DATA exp%s<>+%d(SB)/4, $0x%08x // %s\n", s.suffix, at, math.Float32bits(float32(value)), c.name)
			at += 4
		}
	}
	fmt.Fprintf(&text, "GLOBL exp%s<>(SB), RODATA|NOPTR, $%d\n", s.suffix, at)
	return "\n" + text.String()
}

// firstConstant is the register that the first constant has with AVX-512.
const firstConstant = 21

// constant is the operand for a constant of the exponential.
func (f *function) constant(name string) string {
	for i, c := range expConstants {
		if c.name == name {
			if f.wide() {
				return f.v(firstConstant + i)
			}
			return fmt.Sprintf("exp%s<>+%d(SB)", f.suffix, i*f.width())
		}
	}
	panic("no constant " + name)
}

// loadConstants must come before the first exp.
func (f *function) loadConstants() {
	if !f.wide() {
		return
	}
	for i := range expConstants {
		f.op("VBROADCASTSS", fmt.Sprintf("exp%s<>+%d(SB)", f.suffix, 4*i), f.v(firstConstant+i))
	}
}

// exp replaces register x by its exponential and uses registers p, n and m.
func (f *function) exp(x, p, n, m int) {
	X, P, N, M := f.v(x), f.v(p), f.v(n), f.v(m)
	if !f.wide() {
		f.op("VCMPPS", "$5", f.constant("low"), X, M) // not less than: all ones for NaN
		f.op("VMOVUPS", f.constant("low"), P)
		f.op("VMAXPS", X, P, X) // NaN in the first operand is kept
		f.op("VMOVUPS", f.constant("high"), P)
		f.op("VMINPS", X, P, X)
	} else {
		f.op("VMAXPS", X, f.constant("low"), X)
		f.op("VMINPS", X, f.constant("high"), X)
	}
	f.op("VMULPS", f.constant("log2e"), X, N)
	if !f.wide() {
		f.op("VROUNDPS", "$0", N, N)
	} else {
		f.op("VRNDSCALEPS", "$0", N, N)
	}
	f.op("VFNMADD231PS", f.constant("ln2high"), N, X)
	f.op("VFNMADD231PS", f.constant("ln2low"), N, X)
	f.op("VMOVUPS", f.constant("c6"), P)
	for _, c := range []string{"c5", "c4", "c3", "c2", "one", "one"} {
		f.op("VFMADD213PS", f.constant(c), X, P)
	}
	if !f.wide() {
		f.op("VCVTPS2DQ", N, N)
		f.op("VPSLLD", "$23", N, N)
		f.op("VPADDD", N, P, X)
		f.op("VANDPS", M, X, X)
	} else {
		f.op("VSCALEFPS", N, P, X)
	}
}
