package tokens

import (
	"encoding/json"
	"fmt"
)

// A loaderState is a Loader's place. The orders of the pieces are not in it: they follow from seed and epoch.
type loaderState struct {
	Seed  uint64      `json:"seed"`
	Size  int         `json:"size"`
	Parts []partPlace `json:"parts"`
	Piece piecePlace  `json:"piece"`
}

type partPlace struct {
	Name   string  `json:"name"`
	Pieces int     `json:"pieces"`
	Epoch  int     `json:"epoch"`
	Next   int     `json:"next"`
	Tokens int64   `json:"tokens"`
	Credit float64 `json:"credit"`
}

type piecePlace struct {
	Part     int `json:"part"`
	Document int `json:"document"`
	At       int `json:"at"`
	End      int `json:"end"`
}

// State returns the Loader's place: a few hundred bytes, however large the set.
func (l *Loader) State() ([]byte, error) {
	st := loaderState{Seed: l.seed, Size: l.size, Piece: piecePlace{l.piece.part, l.piece.document, l.piece.at, l.piece.end}}
	for i, p := range l.parts {
		st.Parts = append(st.Parts, partPlace{
			Name: l.set.manifest.Parts[i].Name, Pieces: len(p.order),
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
	l.piece = piece{st.Piece.Part, st.Piece.Document, st.Piece.At, st.Piece.End}
	l.weigh()
	return nil
}

func (l *Loader) fits(st *loaderState) error {
	if st.Size != l.size {
		return fmt.Errorf("its pieces are of %d tokens, not %d", st.Size, l.size)
	}
	if len(st.Parts) != len(l.parts) {
		return fmt.Errorf("it has %d parts, the mixture %d", len(st.Parts), len(l.parts))
	}
	for i, p := range st.Parts {
		name, have := l.set.manifest.Parts[i].Name, len(l.parts[i].order)
		if p.Name != name || p.Pieces != have {
			return fmt.Errorf("its part %d is %s with %d pieces, the mixture's is %s with %d", i+1, p.Name, p.Pieces, name, have)
		}
		if p.Epoch < 0 || p.Next < 0 || p.Next > max(0, have-1) {
			return fmt.Errorf("part %s has no piece %d", name, p.Next)
		}
	}
	p := st.Piece
	if p.End == 0 {
		return nil // before the first piece
	}
	if p.Part < 0 || p.Part >= len(l.parts) || p.Document < 0 || p.Document >= l.set.train[p.Part].Len() ||
		p.At < 0 || p.At > p.End || p.End > l.set.train[p.Part].Size(p.Document) {
		return fmt.Errorf("there are no tokens %d to %d in document %d of part %d", p.At, p.End, p.Document, p.Part+1)
	}
	return nil
}
