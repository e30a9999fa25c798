// Package gputest is the conformance suite of package gpu: whatever passes [Run] may stand under a model. A device's
// own test is a few lines:
//
//	func TestConformance(t *testing.T) {
//		gputest.Run(t, Open, gputest.Tolerance{F32: 1e-5})
//	}
//
// Every operator is run on the device and on gpu/ref with the same operands, and the results are compared: as a whole,
// and element by element. Around that stand the rules that hold for all operators at once: each element of an output is
// written, no operand is changed and nothing beside a slice is touched; the bits do not depend on the number of
// threads nor on what ran before. [Bench] measures the same operators.
//
// To add a case, add a trial to the operator's own file. The suite says nothing about speed and asserts no time.
package gputest

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// Tolerance is how far a device may be from the specification, and what it does not offer.
//
// An error is measured as ‖got−want‖/‖want‖ over the whole of a result; no single element may be further off than
// eight times that share of the greatest element.
type Tolerance struct {
	F32      float64            // with float32 operands
	BF16     float64            // with bfloat16 operands; 0 where the device offers none, and those trials are left out
	Products float64            // with float32 operands in the precision gpu.BFloat16, if the device lists it; 0 means F32
	Op       map[string]float64 // instead of F32 and BF16, by operator: "Attention"
	Skip     map[string]string  // operators and checks left out, by name, each with the reason
}

// A trial is one call of an operator, forward and backward where that is natural. It takes operands from the fixture
// and reports results to it.
type trial struct {
	name  string
	slack float64 // multiplies the tolerance where the operands are ill-conditioned; 0 means 1
	run   func(f *fixture)
}

// operators lists the trials by operator.
var operators = []struct {
	name     string
	products bool // depends on the device's precision
	trials   func() []trial
	offered  func(d gpu.Device) bool // whether the device has it; nil: every device must
}{
	{"Embed", false, embedTrials, nil},
	{"RMSNorm", false, rmsNormTrials, nil},
	{"Linear", true, linearTrials, nil},
	{"Rope", false, ropeTrials, nil},
	{"SwiGLU", false, swigluTrials, nil},
	{"Attention", false, attentionTrials, nil},
	{"LMHead", true, lmHeadTrials, nil},
	{"LMHeadLoss", true, lmHeadLossTrials, offers[gpu.LossHead]},
	{"AdamW", false, adamWTrials, nil},
	{"SumSquares", false, sumSquaresTrials, nil},
	{"DecodeAttention", false, decodeTrials, nil},
	{"Sample", false, sampleTrials, offers[gpu.Sampler]},
}

// offers reports whether the device has the operators of T, which it need not have.
func offers[T any](d gpu.Device) bool {
	_, yes := d.(T)
	return yes
}

// A suite is one run of the tests against one device, opened with several numbers of threads.
type suite struct {
	open    func(threads int) (gpu.Device, error)
	tol     Tolerance
	threads []int
	devices []gpu.Device // one for each of threads
}

// Run checks the device against the specification. open returns the device with a number of worker threads; a device
// for which threads mean nothing ignores it.
func Run(t *testing.T, open func(threads int) (gpu.Device, error), tol Tolerance) {
	s := &suite{open: open, tol: tol, threads: []int{1, 2, 7}}
	for _, threads := range s.threads {
		s.devices = append(s.devices, s.device(t, threads))
	}
	s.check(t, "Memory", s.memory)
	s.check(t, "WrongShapes", s.wrongShapes)
	s.check(t, "Precisions", s.precisions)
	for _, op := range operators {
		s.check(t, op.name, func(t *testing.T) {
			if op.offered != nil && !op.offered(s.devices[0]) {
				t.Skip("the device does not have it")
			}
			for _, trial := range op.trials() {
				t.Run(trial.name, func(t *testing.T) { s.try(t, op.name, op.products, trial) })
			}
		})
	}
	s.check(t, "DecodeEqualsAttention", s.decodeEqualsAttention)
	s.check(t, "PackedDocumentsAttendToEachOther", s.packedDocuments)
	s.check(t, "TokensAttendToLaterTokens", s.laterTokens)
}

// device opens the device until the test ends.
func (s *suite) device(t *testing.T, threads int) gpu.Device {
	d, err := s.open(threads)
	if err != nil {
		t.Fatalf("open with %d threads: %v", threads, err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return d
}

// check runs one named part of the suite unless the caller leaves it out.
func (s *suite) check(t *testing.T, name string, run func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		if reason, ok := s.tol.Skip[name]; ok {
			t.Skip(reason)
		}
		run(t)
	})
}

// precisions holds the list of precisions to what SetPrecision takes.
func (s *suite) precisions(t *testing.T) {
	d := s.devices[0]
	if !slices.Contains(d.Precisions(), gpu.Float32) {
		t.Errorf("the precisions are %v, without %s", d.Precisions(), gpu.Float32)
	}
	for _, p := range []gpu.Precision{"", "float64", gpu.BFloat16, gpu.Float32} {
		if err := d.SetPrecision(p); (err == nil) != slices.Contains(d.Precisions(), p) {
			t.Errorf("SetPrecision(%q) where there are %v: %v", p, d.Precisions(), err)
		}
	}
}

// try runs one trial in every number format, precision and layout.
func (s *suite) try(t *testing.T, op string, products bool, trial trial) {
	for _, v := range s.variants(products) {
		t.Run(v.String(), func(t *testing.T) {
			want := v.run(t, ref.Open(), trial)
			var first []result
			for i, d := range s.devices {
				got := v.run(t, d, trial)
				if i == 0 {
					first = got
					s.compare(t, op, v, trial.slack, got, want)
				} else {
					sameBits(t, fmt.Sprintf("%d threads and %d", s.threads[i], s.threads[0]), got, first)
				}
			}
			sameBits(t, "a second run and the first", v.run(t, s.devices[1], trial), first)
		})
	}
}

// A variant is how a trial's operands lie in memory, and how they are multiplied.
type variant struct {
	dtype     gpu.DType // of weights and activations
	margin    int       // rows around each tensor: 0 for whole allocations
	precision gpu.Precision
}

func (v variant) String() string {
	text := v.dtype.String()
	if v.precision != gpu.Float32 {
		text += ",products=" + string(v.precision)
	}
	if v.margin > 0 {
		text += ",slices"
	}
	return text
}

func (s *suite) variants(products bool) []variant {
	all := []variant{{gpu.F32, 0, gpu.Float32}, {gpu.F32, 3, gpu.Float32}}
	if products && slices.Contains(s.devices[0].Precisions(), gpu.BFloat16) {
		all = append(all, variant{gpu.F32, 0, gpu.BFloat16}, variant{gpu.F32, 3, gpu.BFloat16})
	}
	if s.tol.BF16 > 0 {
		all = append(all, variant{gpu.BF16, 0, gpu.Float32}, variant{gpu.BF16, 3, gpu.Float32})
	}
	return all
}

// limit is the greatest relative error that the operator may make in a result that was rounded to t.
func (s *suite) limit(op string, v variant, t gpu.DType) float64 {
	limit := s.tol.F32
	if of, ok := s.tol.Op[op]; ok {
		limit = of
	} else if t == gpu.BF16 {
		limit = s.tol.BF16
	}
	if v.precision != gpu.Float32 {
		limit = max(limit, s.tol.Products)
	}
	return limit
}

// compare fails unless each result is within the operator's tolerance of what it should be.
func (s *suite) compare(t *testing.T, op string, v variant, slack float64, got, want []result) {
	t.Helper()
	for i, g := range got {
		if problem := g.differs(want[i], s.limit(op, v, g.dtype)*max(slack, 1)); problem != "" {
			t.Errorf("%s: %s", g.name, problem)
		}
	}
}

// differs says how the result differs from want by more than the limit, or nothing. NaN always does.
func (r *result) differs(want result, limit float64) string {
	var norm, errNorm, most, errMost float64
	worst := 0
	for i, v := range want.values {
		diff := math.Abs(r.values[i] - v)
		if math.IsNaN(diff) {
			return fmt.Sprintf("element %d is %v, want %v", i, r.values[i], v)
		}
		if r.exact && diff != 0 {
			return fmt.Sprintf("element %d is %v, not %v", i, r.values[i], v)
		}
		norm, errNorm, most = norm+v*v, errNorm+diff*diff, max(most, math.Abs(v))
		if diff > errMost {
			errMost, worst = diff, i
		}
	}
	norm = max(math.Sqrt(norm), want.scale*math.Sqrt(float64(len(want.values))))
	most = max(most, want.scale)
	errNorm = math.Sqrt(errNorm)
	if errNorm <= limit*norm && errMost <= 8*limit*most {
		return ""
	}
	return fmt.Sprintf(
		"‖error‖/‖want‖ = %.3g, greatest error/greatest = %.3g, limit %.3g; worst is element %d of %d: %v, want %v",
		errNorm/norm, errMost/most, limit, worst, len(want.values), r.values[worst], want.values[worst])
}

// sameBits fails unless two runs gave the same results to the last bit.
func sameBits(t *testing.T, runs string, a, b []result) {
	t.Helper()
	for i := range a {
		for j, v := range a[i].values {
			if math.Float64bits(v) != math.Float64bits(b[i].values[j]) {
				t.Errorf("%s: %s differ at element %d: %v and %v", a[i].name, runs, j, v, b[i].values[j])
				break
			}
		}
	}
}
