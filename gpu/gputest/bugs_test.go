package gputest_test

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"athanor/gpu"
	"athanor/gpu/gputest"
	"athanor/gpu/ref"
)

// A bug is a device that is wrong in one way, and what the suite should say of it.
type bug struct {
	name    string
	where   string // the part of the suite that should find it, as for go test -run
	message string // part of what it prints
	device  func(threads int) gpu.Device
}

var bugs = []bug{
	{"add is forgotten", "Linear/N65,I96,O80,add=other", "y: ‖error‖",
		func(int) gpu.Device { return addForgotten{ref.Open()} }},
	{"the aliased add is cleared first", "Linear/N65,I96,O80,add=aliased", "y: ‖error‖",
		func(int) gpu.Device { return addCleared{ref.Open()} }},
	{"products are not rounded", "Linear/N65,I96,O80,add=other", "products=bfloat16",
		func(int) gpu.Device { return notRounded{ref.Open()} }},
	{"a precision is taken that is not listed", "Precisions", "SetPrecision",
		func(int) gpu.Device { return anyPrecision{ref.Open()} }},
	{"the gradient of a weight is overwritten", "Linear/N3,", "dw: ‖error‖",
		func(int) gpu.Device { return gradOverwritten{ref.Open()} }},
	{"an element is not written", "RMSNorm/N17,", "is NaN",
		func(int) gpu.Device { return unwritten{ref.Open()} }},
	{"an input is changed", "RMSNorm/N17,", "is an input",
		func(int) gpu.Device { return inputChanged{ref.Open()} }},
	{"a write goes past the end", "SwiGLU/N3,", "outside the slice",
		func(int) gpu.Device { return outside{ref.Open()} }},
	{"bits depend on the threads", "SwiGLU/N3,", "threads and 1 differ",
		func(threads int) gpu.Device { return threadsMatter{ref.Open(), threads} }},
	{"bits depend on what ran before", "SwiGLU/N3,", "a second run and the first differ",
		func(threads int) gpu.Device { return &historyMatters{Device: ref.Open()} }},
	{"attention crosses segments", "PackedDocumentsAttendToEachOther", "changed with tokens",
		func(int) gpu.Device { return oneSegment{ref.Open()} }},
	{"attention crosses segments", "Attention/H4,G1", "out: ‖error‖",
		func(int) gpu.Device { return oneSegment{ref.Open()} }},
	{"the cache is read too far", "DecodeEqualsAttention", "is NaN",
		func(int) gpu.Device { return tooFar{ref.Open()} }},
	{"temperature is ignored", "LMHead/N17,", "logp: ‖error‖",
		func(int) gpu.Device { return noTemperature{ref.Open()} }},
	{"half of the loss is forgotten", "LMHeadLoss/N17,", "dx: at once and one after the other differ",
		func(int) gpu.Device { return halfLoss{ref.Open()} }},
	{"of equals the last is the likelier", "Sample/ties", "ids: element",
		func(int) gpu.Device { return lastOfEquals{ref.Open().(ref.Device)} }},
	{"the decay is forgotten", "AdamW/one", "weight 1: ‖error‖",
		func(int) gpu.Device { return noDecay{ref.Open()} }},
	{"rope does not turn back", "Rope/heads4", "inverse=true: ‖error‖",
		func(int) gpu.Device { return oneWay{ref.Open()} }},
	{"wrong shapes are accepted", "WrongShapes", "SwiGLU: up: an operand that does not fit",
		func(int) gpu.Device { return lenient{ref.Open()} }},
}

// TestSuiteFindsBugs runs the suite on each wrong device, in a process of its own because the suite must fail there.
func TestSuiteFindsBugs(t *testing.T) {
	const env = "GPUTEST_BUG"
	if name := os.Getenv(env); name != "" {
		for _, b := range bugs {
			if b.name == name {
				open := func(threads int) (gpu.Device, error) { return b.device(threads), nil }
				gputest.Run(t, open, gputest.Tolerance{F32: 1e-6})
				return
			}
		}
	}
	for _, b := range bugs {
		t.Run(b.name+"/"+b.where, func(t *testing.T) {
			command := exec.Command(os.Args[0], "-test.run=^TestSuiteFindsBugs$/^"+strings.ReplaceAll(b.where, "/", "$/^"))
			command.Env = append(os.Environ(), env+"="+b.name)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), b.message) {
				t.Errorf("the suite did not say %q: %v\n%s", b.message, err, out)
			}
		})
	}
}

type notRounded struct{ gpu.Device }

func (d notRounded) SetPrecision(p gpu.Precision) error {
	if p == gpu.BFloat16 {
		return nil
	}
	return d.Device.SetPrecision(p)
}

type anyPrecision struct{ gpu.Device }

func (d anyPrecision) SetPrecision(gpu.Precision) error { return nil }

type addForgotten struct{ gpu.Device }

func (d addForgotten) Linear(y, x, w, _ gpu.Tensor) { d.Device.Linear(y, x, w, gpu.Tensor{}) }

type addCleared struct{ gpu.Device }

func (d addCleared) Linear(y, x, w, add gpu.Tensor) {
	d.Zero(y)
	d.Device.Linear(y, x, w, add)
}

type gradOverwritten struct{ gpu.Device }

func (d gradOverwritten) LinearBackwardWeight(dw, dy, x gpu.Tensor) {
	d.Zero(dw)
	d.Device.LinearBackwardWeight(dw, dy, x)
}

type unwritten struct{ gpu.Device }

func (d unwritten) RMSNorm(out, rstd, x, weight gpu.Tensor, eps float32) {
	last := ref.Float64(out.Slice(out.Rows-1, out.Rows))
	d.Device.RMSNorm(out, rstd, x, weight, eps)
	ref.WriteFloat64(out.Slice(out.Rows-1, out.Rows), last)
}

type inputChanged struct{ gpu.Device }

func (d inputChanged) RMSNorm(out, rstd, x, weight gpu.Tensor, eps float32) {
	d.Device.RMSNorm(out, rstd, x, weight, eps)
	d.Copy(x, out)
}

type outside struct{ gpu.Device }

func (d outside) SwiGLU(out, gate, up gpu.Tensor) {
	d.Device.SwiGLU(out, gate, up)
	if out.Offset > 0 { // one row lies behind the slice at least
		out.Offset += out.Len()
		d.Zero(out.Slice(0, 1))
	}
}

type threadsMatter struct {
	gpu.Device
	threads int
}

func (d threadsMatter) SwiGLU(out, gate, up gpu.Tensor) {
	d.Device.SwiGLU(out, gate, up)
	nudge(out, float64(d.threads))
}

type historyMatters struct {
	gpu.Device
	calls int
}

func (d *historyMatters) SwiGLU(out, gate, up gpu.Tensor) {
	d.Device.SwiGLU(out, gate, up)
	nudge(out, float64(d.calls))
	d.calls++
}

// nudge moves the first element by so little that it is within every tolerance.
func nudge(x gpu.Tensor, times float64) {
	v := ref.Float64(x)
	v[0] *= 1 + times*2e-7
	ref.WriteFloat64(x, v)
}

type oneSegment struct{ gpu.Device }

func (d oneSegment) Attention(out, lse, q, k, v gpu.Tensor, headSize int, s *gpu.Stream) {
	whole := *s
	whole.Starts = []int32{0, int32(s.Len())}
	d.Device.Attention(out, lse, q, k, v, headSize, &whole)
}

type tooFar struct{ gpu.Device }

func (d tooFar) DecodeAttention(out, q gpu.Tensor, c gpu.Cache, headSize int, slots, lengths []int32) {
	d.Device.DecodeAttention(out, q, c, headSize, slots, []int32{min(lengths[0]+1, int32(c.Capacity))})
}

type noTemperature struct{ gpu.Device }

func (d noTemperature) LMHead(logp, lse []float64, x, w gpu.Tensor, s *gpu.Stream, _ float64) error {
	return d.Device.LMHead(logp, lse, x, w, s, 1)
}

type halfLoss struct{ gpu.Device }

func (d halfLoss) LMHeadLoss(logp, lse []float64, dx, dw, x, w gpu.Tensor, s *gpu.Stream, temperature float64, loss gpu.TokenLoss) error {
	if err := d.LMHead(logp, lse, x, w, s, temperature); err != nil {
		return err
	}
	dLogp := make([]float64, len(logp))
	for n := range dLogp {
		dLogp[n], _ = loss(n, logp[n], lse[n])
	}
	d.LMHeadBackward(dx, dw, x, w, s, temperature, dLogp, nil)
	return nil
}

type lastOfEquals struct{ ref.Device }

// Sample draws from the logits in reverse, for all draws that depend on nothing but the likeliest.
func (d lastOfEquals) Sample(ids []int32, logp []float64, logits gpu.Tensor, draws []gpu.Draw) error {
	if err := d.Device.Sample(ids, logp, logits, draws); err != nil {
		return err
	}
	z := ref.Float64(logits)
	for n := range ids {
		if row := z[n*logits.Cols:][:logits.Cols]; draws[n].Temperature == 0 {
			slices.Reverse(row)
			ids[n] = int32(logits.Cols - 1 - slices.Index(row, slices.Max(row)))
		}
	}
	return nil
}

type noDecay struct{ gpu.Device }

func (d noDecay) AdamW(tensors []gpu.AdamWTensor, h gpu.AdamWStep) {
	for _, t := range tensors {
		t.Decay = 0
		d.Device.AdamW([]gpu.AdamWTensor{t}, h)
	}
}

type oneWay struct{ gpu.Device }

func (d oneWay) Rope(x gpu.Tensor, r *gpu.Rope, s *gpu.Stream, _ bool) { d.Device.Rope(x, r, s, false) }

type lenient struct{ gpu.Device }

func (d lenient) SwiGLU(out, gate, up gpu.Tensor) {
	if up.Rows == out.Rows && up.Cols == out.Cols {
		d.Device.SwiGLU(out, gate, up)
	}
}
