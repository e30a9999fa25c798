package train

import (
	"context"
	"errors"
	"iter"
	"math"
	"testing"

	"athanor/gpu"
	"athanor/gpu/ref"
)

func TestSpread(t *testing.T) {
	repeat := func(n int, length int64) []int64 {
		lengths := make([]int64, n)
		for i := range lengths {
			lengths[i] = length
		}
		return lengths
	}
	for _, c := range []struct {
		name            string
		lengths         []int64
		most            int64
		least, greatest int // documents taken
	}{
		{"all", []int64{5, 100, 3}, 1000, 3, 3},
		{"exactly all", []int64{5, 100, 3}, 108, 3, 3},
		{"a tenth", repeat(100, 50), 500, 9, 11},
		{"one long document", []int64{150000}, 32000, 1, 1},
		{"a long one among short ones", append(repeat(50, 100), append([]int64{100000}, repeat(50, 100)...)...), 22000, 15, 25},
		{"less than a document", repeat(10, 1000), 10, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Spread{Most: c.most, Piece: 64}
			for _, l := range c.lengths {
				s.Have += l
			}
			total, documents := int64(0), 0
			for i, l := range c.lengths {
				n := s.Take(l)
				if n < 0 || n > l {
					t.Fatalf("%d of the %d units of document %d", n, l, i)
				}
				if n > 0 {
					documents++
				}
				total += n
			}
			if total > c.most || total < min(c.most, s.Have)/2 || documents < c.least || documents > c.greatest {
				t.Errorf("%d units of %d documents", total, documents)
			}
		})
	}
}

func all(documents ...Document) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for _, d := range documents {
			if !yield(d, nil) {
				return
			}
		}
	}
}

func TestScoreIsTheSumOverPieces(t *testing.T) {
	const window = 7
	m := newModel(t, ref.Open())
	if err := m.Inference(64); err != nil {
		t.Fatal(err)
	}
	var docs []Document
	want := Score{}
	for _, ids := range counting().docs[:6] {
		docs = append(docs, Document{IDs: ids, Bytes: 3 * len(ids)})
		want.Documents++
		want.Bytes += int64(3 * len(ids))
		for from := 0; from < len(ids)-1; from += window {
			to := min(from+window, len(ids)-1)
			var s gpu.Stream
			s.Append(ids[from:to], ids[from+1:to+1], 0)
			logp := make([]float64, s.Len())
			if err := errors.Join(m.Forward(&s), m.LogProbs(logp, nil, &s, 1)); err != nil {
				t.Fatal(err)
			}
			for _, l := range logp {
				want.Nats -= l
				want.Tokens++
			}
		}
	}
	docs = append(docs, Document{IDs: []int32{1}, Bytes: 9}) // nothing to predict
	for _, micro := range []int{window, 30, 64} {
		var parts []Score
		scorer := Scorer{Model: m, Context: window, Micro: micro, Document: func(s Score) { parts = append(parts, s) }}
		got, err := scorer.Score(context.Background(), all(docs...))
		if err != nil {
			t.Fatal(err)
		}
		var sum Score
		for i, p := range parts {
			if p.Tokens != int64(len(docs[i].IDs)-1) || p.Bytes != int64(docs[i].Bytes) {
				t.Errorf("document %d: %+v", i, p)
			}
			sum.Add(p)
		}
		if sum.Tokens != got.Tokens || sum.Bytes != got.Bytes || sum.Documents != got.Documents || math.Abs(sum.Nats-got.Nats) > 1e-9 {
			t.Errorf("the documents add up to %+v, all are %+v", sum, got)
		}
		if got.Tokens != want.Tokens || got.Bytes != want.Bytes || got.Documents != want.Documents || math.Abs(got.Nats-want.Nats) > 1e-9 {
			t.Errorf("streams of %d: %+v, want %+v", micro, got, want)
		}
	}
	if loss, bits := want.Loss(), want.BitsPerByte(); math.Abs(bits*math.Ln2*float64(want.Bytes)-loss*float64(want.Tokens)) > 1e-9 {
		t.Errorf("loss %g and %g bits per byte do not agree", loss, bits)
	}
}

func TestScoreStops(t *testing.T) {
	m := newModel(t, ref.Open())
	if err := m.Inference(64); err != nil {
		t.Fatal(err)
	}
	scorer := Scorer{Model: m, Context: 8, Micro: 16}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := scorer.Score(ctx, all(Document{IDs: []int32{1, 2, 3}})); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	bad := errors.New("a damaged file")
	failing := func(yield func(Document, error) bool) { yield(Document{}, bad) }
	if _, err := scorer.Score(context.Background(), failing); !errors.Is(err, bad) {
		t.Errorf("with documents that cannot be read: %v", err)
	}
}
