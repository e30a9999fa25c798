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
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

// Tolerance is how far a device may be from the specification, and what it does not offer.
//
// An error is measured as ‖got−want‖/‖want‖ over the whole of a result; no single element may be further off than
// eight times that share of the greatest element.
type Tolerance struct {
	F32  float64            // with float32 operands
	BF16 float64            // with bfloat16 operands; 0 where the device offers none, and those trials are left out
	Op   map[string]float64 // instead of F32 and BF16, by operator: "Attention"
	Skip map[string]string  // operators and checks left out, by name, each with the reason
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
	name   string
	trials func() []trial
}{
	{"Embed", embedTrials},
	{"RMSNorm", rmsNormTrials},
	{"Linear", linearTrials},
	{"Rope", ropeTrials},
	{"SwiGLU", swigluTrials},
	{"Attention", attentionTrials},
	{"LMHead", lmHeadTrials},
	{"AdamW", adamWTrials},
	{"SumSquares", sumSquaresTrials},
	{"DecodeAttention", decodeTrials},
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
	for _, op := range operators {
		s.check(t, op.name, func(t *testing.T) {
			for _, trial := range op.trials() {
				t.Run(trial.name, func(t *testing.T) { s.try(t, op.name, trial) })
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

// try runs one trial in every number format and layout.
func (s *suite) try(t *testing.T, op string, trial trial) {
	for _, v := range s.variants() {
		t.Run(v.String(), func(t *testing.T) {
			want := v.run(t, ref.Open(), trial)
			var first []result
			for i, d := range s.devices {
				got := v.run(t, d, trial)
				if i == 0 {
					first = got
					s.compare(t, op, trial.slack, got, want)
				} else {
					sameBits(t, fmt.Sprintf("%d threads and %d", s.threads[i], s.threads[0]), got, first)
				}
			}
			sameBits(t, "a second run and the first", v.run(t, s.devices[1], trial), first)
		})
	}
}

// A variant is how a trial's operands lie in memory.
type variant struct {
	dtype  gpu.DType // of weights and activations
	margin int       // rows around each tensor: 0 for whole allocations
}

func (v variant) String() string {
	if v.margin > 0 {
		return v.dtype.String() + ",slices"
	}
	return v.dtype.String()
}

func (s *suite) variants() []variant {
	all := []variant{{gpu.F32, 0}, {gpu.F32, 3}}
	if s.tol.BF16 > 0 {
		all = append(all, variant{gpu.BF16, 0}, variant{gpu.BF16, 3})
	}
	return all
}

// limit is the greatest relative error that the operator may make in a result that was rounded to t.
func (s *suite) limit(op string, t gpu.DType) float64 {
	if limit, ok := s.tol.Op[op]; ok {
		return limit
	}
	if t == gpu.BF16 {
		return s.tol.BF16
	}
	return s.tol.F32
}

// compare fails unless each result is within the operator's tolerance of what it should be.
func (s *suite) compare(t *testing.T, op string, slack float64, got, want []result) {
	t.Helper()
	for i, g := range got {
		if problem := g.differs(want[i], s.limit(op, g.dtype)*max(slack, 1)); problem != "" {
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
