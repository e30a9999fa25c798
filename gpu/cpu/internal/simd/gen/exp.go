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

// A constant is an element of a table.
type constant struct {
	name  string
	value float64
}

// The exponential of base 2, for attention, which has a factor to multiply by anyhow: y = n + r with n the next lower
// integer, and 2^r by a polynomial of degree 6 whose coefficients from r on were fitted like those above, to 2.0e-9. Below the least
// normal number the result fades to 0 with AVX-512 and is 0 with AVX2. NaN stays NaN; y must not be large.
var exp2Constants = []constant{
	{"low", -126},
	{"one", 1},
	{"d1", 0.6931470444427676},
	{"d2", 0.24022930556048863},
	{"d3", 0.055485280577480256},
	{"d4", 0.009675451657419717},
	{"d5", 0.0012467845541939806},
	{"d6", 0.00021612918306118368},
	{"log2e", math.Log2E},
}

// exp2Table writes the table of constants, in the form of expTable.
func (s *isa) exp2Table() string { return s.table("exptwo", exp2Constants) }

// table writes a table of constants: one element each for AVX-512, and a register's worth for AVX2.
func (s *isa) table(name string, constants []constant) string {
	var text strings.Builder
	at, times := 0, 1
	if !s.wide() {
		times = s.lanes
	}
	for _, c := range constants {
		for range times {
			fmt.Fprintf(&text, "DATA %s%s<>+%d(SB)/4, $0x%08x // %s\n", name, s.suffix, at, math.Float32bits(float32(c.value)), c.name)
			at += 4
		}
	}
	fmt.Fprintf(&text, "GLOBL %s%s<>(SB), RODATA|NOPTR, $%d\n", name, s.suffix, at)
	return "\n" + text.String()
}

// constant2 is the operand for a constant of exp2.
func (f *function) constant2(name string) string {
	for i, c := range exp2Constants {
		if c.name == name {
			if f.wide() {
				return f.v(firstConstant + i)
			}
			return fmt.Sprintf("exptwo%s<>+%d(SB)", f.suffix, i*f.width())
		}
	}
	panic("no constant " + name)
}

// loadConstants2 must come before the first exp2.
func (f *function) loadConstants2() {
	if !f.wide() {
		return
	}
	for i := range exp2Constants {
		f.op("VBROADCASTSS", fmt.Sprintf("exptwo%s<>+%d(SB)", f.suffix, 4*i), f.v(firstConstant+i))
	}
}

// exp2 replaces register x by 2 to the power of it and uses registers p, n and m.
func (f *function) exp2(x, p, n, m int) {
	X, P, N, M := f.v(x), f.v(p), f.v(n), f.v(m)
	if f.wide() {
		f.op("VREDUCEPS", "$1", X, N) // 0 for infinity
	} else {
		f.op("VCMPPS", "$5", f.constant2("low"), X, M) // not less than: all ones for NaN
		f.op("VMOVUPS", f.constant2("low"), P)
		f.op("VMAXPS", X, P, X) // NaN in the first operand is kept
		f.op("VROUNDPS", "$1", X, N)
		f.op("VSUBPS", N, X, X)
		N, X = X, N
	}
	f.op("VMOVUPS", f.constant2("d6"), P)
	for _, c := range []string{"d5", "d4", "d3", "d2", "d1", "one"} {
		f.op("VFMADD213PS", f.constant2(c), N, P)
	}
	if f.wide() {
		f.op("VSCALEFPS", X, P, X)
		return
	}
	f.op("VCVTPS2DQ", X, X)
	f.op("VPSLLD", "$23", X, X)
	f.op("VPADDD", X, P, P)
	f.op("VANDPS", M, P, f.v(x))
}

// The logarithm: x = 2^e·(1+f) with f in [−1/4, 1/2), and ln(1+f) = f + f²·p(f), whose coefficients were fitted like those above,
// to an absolute error of 4.4e-8. x must be positive and normal; infinity and NaN become NaN.
var logConstants = []constant{
	{"low", 0.75},
	{"one", 1},
	{"ln2", math.Ln2},
	{"l2", -0.5000023484186169},
	{"l3", 0.33329569199809334},
	{"l4", -0.2497650085715502},
	{"l5", 0.2012177043562452},
	{"l6", -0.17385984735458201},
	{"l7", 0.1401964024327858},
	{"l8", -0.06471026913427595},
}

// logTable writes the table of constants, in the form of expTable.
func (s *isa) logTable() string { return s.table("log", logConstants) }

// logOp writes an instruction whose first operand is a constant of the logarithm, in memory.
func (f *function) logOp(name, constant string, operands ...any) {
	for i, c := range logConstants {
		if c.name != constant {
			continue
		}
		offset := 4 * i
		if f.wide() {
			name += ".BCST"
		} else {
			offset *= f.lanes
		}
		f.op(name, append([]any{fmt.Sprintf("log%s<>+%d(SB)", f.suffix, offset)}, operands...)...)
		return
	}
	panic("no constant " + constant)
}

// log sets register p to the logarithm of register x, and uses x, e and t.
func (f *function) log(x, p, e, t int) {
	X, P, E, T := f.v(x), f.v(p), f.v(e), f.v(t)
	f.logOp("VPSUBD", "low", X, E)
	f.op("VPSRAD", "$23", E, E)
	f.op("VPSLLD", "$23", E, T)
	f.op("VPSUBD", T, X, T) // 1 + f
	f.op("VCVTDQ2PS", E, E)
	f.logOp("VSUBPS", "one", T, T)
	f.logOp("VMULPS", "l8", T, P)
	f.logOp("VADDPS", "l7", P, P)
	for _, c := range []string{"l6", "l5", "l4", "l3", "l2"} {
		f.logOp("VFMADD213PS", c, T, P)
	}
	f.op("VMULPS", T, P, P)
	f.op("VFMADD213PS", T, T, P)
	f.logOp("VFMADD231PS", "ln2", E, P)
	f.op("VSUBPS", X, X, X) // 0, or NaN
	f.op("VADDPS", X, P, P)
}
