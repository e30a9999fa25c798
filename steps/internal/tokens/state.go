package tokens

import (
	"encoding/json"
	"fmt"
)

// A loaderState is a Loader's place. The orders of the documents are not in it: they follow from seed and epoch.
type loaderState struct {
	Seed  uint64      `json:"seed"`
	Parts []partPlace `json:"parts"`
	Doc   docPlace    `json:"doc"`
}

type partPlace struct {
	Name      string  `json:"name"`
	Documents int     `json:"documents"`
	Epoch     int     `json:"epoch"`
	Next      int     `json:"next"`
	Tokens    int64   `json:"tokens"`
	Credit    float64 `json:"credit"`
}

type docPlace struct {
	Part  int `json:"part"`
	Index int `json:"index"`
	At    int `json:"at"`
	Size  int `json:"size"`
}

// State returns the Loader's place: a few hundred bytes, however large the set.
func (l *Loader) State() ([]byte, error) {
	st := loaderState{Seed: l.seed, Doc: docPlace{l.doc.part, l.doc.index, l.doc.at, l.doc.size}}
	for i, p := range l.parts {
		st.Parts = append(st.Parts, partPlace{
			Name: l.set.manifest.Parts[i].Name, Documents: len(p.order),
			Epoch: p.epoch, Next: p.next, Tokens: p.tokens, Credit: p.credit,
		})
	}
	return json.Marshal(st)
}

// Restore puts the Loader where State was called, so that it goes on with the very same tokens. The set must be the
// same.
func (l *Loader) Restore(state []byte) error {
	var st loaderState
	if err := json.Unmarshal(state, &st); err != nil {
		return fmt.Errorf("the loader's state: %w", err)
	}
	if err := l.fits(&st); err != nil {
		return fmt.Errorf("the loader's state is of other data: %w", err)
	}
	l.seed = st.Seed
	for i, place := range st.Parts {
		p := &l.parts[i]
		p.epoch, p.next, p.tokens, p.credit = place.Epoch, place.Next, place.Tokens, place.Credit
		l.shuffle(i)
	}
	l.doc = document{st.Doc.Part, st.Doc.Index, st.Doc.At, st.Doc.Size}
	l.weigh()
	return nil
}

func (l *Loader) fits(st *loaderState) error {
	if len(st.Parts) != len(l.parts) {
		return fmt.Errorf("it has %d parts, the mixture %d", len(st.Parts), len(l.parts))
	}
	for i, p := range st.Parts {
		name, have := l.set.manifest.Parts[i].Name, len(l.parts[i].order)
		if p.Name != name || p.Documents != have {
			return fmt.Errorf("its part %d is %s with %d documents, the mixture's is %s with %d", i+1, p.Name, p.Documents, name, have)
		}
		if p.Epoch < 0 || p.Next < 0 || p.Next > max(0, have-1) {
			return fmt.Errorf("part %s has no document %d", name, p.Next)
		}
	}
	d := st.Doc
	if d.Size == 0 {
		return nil // before the first document
	}
	if d.Part < 0 || d.Part >= len(l.parts) || d.Index < 0 || d.Index >= l.set.train[d.Part].Len() ||
		d.Size != l.set.train[d.Part].Size(d.Index) || d.At < 0 || d.At > d.Size {
		return fmt.Errorf("there is no document %d of part %d with %d tokens", d.Index, d.Part+1, d.Size)
	}
	return nil
}
