package train

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
	"athanor/steps"
	"athanor/steps/internal/llm"
)

// tiny is a model small enough for the reference device.
var tiny = llm.Config{
	VocabSize: 32, HiddenSize: 16, IntermediateSize: 24, NumHiddenLayers: 2, NumAttentionHeads: 2, NumKeyValueHeads: 1,
	HeadDim: 8, RMSNormEps: 1e-5, RopeTheta: 10000, MaxPositionEmbeddings: 64, InitializerRange: 0.2,
}

// float32Device is the reference with weights and moments that are float32 after each update, as on every device that
// trains for real: only then is a checkpoint in float32 the whole truth.
type float32Device struct{ ref.Device }

func openRef() float32Device { return float32Device{ref.Open().(ref.Device)} }

func (d float32Device) AdamW(tensors []gpu.AdamWTensor, h gpu.AdamWStep) {
	d.Device.AdamW(tensors, h)
	for _, a := range tensors {
		for _, t := range []gpu.Tensor{a.Weight, a.Master, a.M, a.V} {
			if t.IsZero() {
				continue
			}
			values := make([]float32, t.Len())
			d.Read(values, t)
			d.Write(t, values)
		}
	}
}

// bfloat16Device keeps weights and activations in bfloat16, as GPUs do.
type bfloat16Device struct{ float32Device }

func (bfloat16Device) Storage(p gpu.Precision) gpu.DType {
	if p == gpu.BFloat16 {
		return gpu.BF16
	}
	return gpu.F32
}

func newModel(t testing.TB, dev gpu.Device) *llm.Model {
	t.Helper()
	m, err := llm.New(dev, tiny)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Init(3); err != nil {
		t.Fatal(err)
	}
	return m
}

// documents is a Loader that deals out the same documents again and again, in another order each time.
type documents struct {
	docs [][]int32
	place
	dealt []string // every document begun, as "epoch/index"
}

type place struct{ Epoch, Next, At int }

func (l *documents) Fill(s *gpu.Stream, n, context int) error {
	for n > 0 {
		index := (l.Next*7 + l.Epoch*5) % len(l.docs)
		doc := l.docs[index]
		if l.At == 0 {
			l.dealt = append(l.dealt, fmt.Sprint(l.Epoch, "/", index))
		}
		size := min(n, context, len(doc)-l.At)
		targets := append(slices.Clone(doc[l.At+1:]), gpu.NoTarget)
		s.Append(doc[l.At:l.At+size], targets[:size], 0)
		n -= size
		if l.At += size; l.At == len(doc) {
			l.At = 0
			if l.Next++; l.Next == len(l.docs) {
				l.Next = 0
				l.Epoch++
			}
		}
	}
	return nil
}

func (l *documents) State() ([]byte, error) { return json.Marshal(l.place) }

func (l *documents) Restore(state []byte) error { return json.Unmarshal(state, &l.place) }

// counting is documents whose next token follows from the last: something that a tiny model can learn.
func counting() *documents {
	l := &documents{}
	for i := range 11 {
		doc := make([]int32, 3+5*i%17)
		for j := range doc {
			doc[j] = int32((3*i + (1+i%3)*j) % 32)
		}
		l.docs = append(l.docs, doc)
	}
	return l
}

func newRuntime(t testing.TB, dir string) *steps.Runtime {
	t.Helper()
	rt, err := steps.NewRuntime(&steps.Spec{WorkDir: dir, Config: json.RawMessage(`{}`)}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rt.Close() })
	return rt
}

// stream packs documents into one stream; the last token of each has no target.
func stream(docs ...[]int32) gpu.Stream {
	var s gpu.Stream
	for _, d := range docs {
		s.Append(d, append(slices.Clone(d[1:]), gpu.NoTarget), 0)
	}
	return s
}
