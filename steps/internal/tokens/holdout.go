package tokens

import (
	"fmt"
	"iter"
	"path/filepath"
)

// A Doc is a held-out document.
type Doc struct {
	IDs   []int32 // BOS, the text, EOS; the caller's own
	Bytes int     // length of the text in UTF-8, for bits per byte
}

// Holdout yields the held-out documents of the part called part in their order; none if it has none.
func (s *Set) Holdout(part string) iter.Seq2[Doc, error] {
	return func(yield func(Doc, error) bool) {
		for i := range s.manifest.Parts {
			if p := &s.manifest.Parts[i]; p.Name == part {
				if err := s.yieldHoldout(p, s.holdout[i], yield); err != nil {
					yield(Doc{}, fmt.Errorf("held-out documents of part %s: %w", part, err))
				}
				return
			}
		}
		yield(Doc{}, fmt.Errorf("the mixture has no part %q", part))
	}
}

func (s *Set) yieldHoldout(p *Part, ix *Indexed, yield func(Doc, error) bool) error {
	if ix == nil {
		return nil
	}
	path := filepath.Join(s.dir, p.Name+".holdout.bytes.npy")
	bytes, err := readLengths(path)
	if err != nil {
		return err
	}
	if len(bytes) != ix.Len() {
		return fmt.Errorf("%s has %d lengths for %d documents", path, len(bytes), ix.Len())
	}
	for i, n := range bytes {
		if !yield(Doc{IDs: ix.Append(nil, i, 0, ix.Size(i)), Bytes: int(n)}, nil) {
			return nil
		}
	}
	return nil
}
