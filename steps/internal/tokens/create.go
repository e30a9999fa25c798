package tokens

import (
	"encoding/json"
	"os"
	"path/filepath"
)

// A PartWriter writes the files of one part.
type PartWriter struct {
	base    string
	train   *IndexedWriter
	holdout *IndexedWriter
	lengths []int64 // bytes of text of each held-out document
	part    Part
}

// CreatePart starts a part in dir. The figures of part are counted here; its name, weight and cap are kept.
func CreatePart(dir string, part Part, vocabSize int) (*PartWriter, error) {
	p := Part{Name: part.Name, Weight: part.Weight, MaxEpochs: part.MaxEpochs}
	w := &PartWriter{base: filepath.Join(dir, p.Name), part: p}
	var err error
	if w.train, err = CreateIndexed(w.base, vocabSize); err != nil {
		return nil, err
	}
	if w.holdout, err = CreateIndexed(w.base+".holdout", vocabSize); err != nil {
		w.train.Abort()
		return nil, err
	}
	return w, nil
}

// Train adds a training document: BOS, the ids of a text of so many bytes, EOS.
func (w *PartWriter) Train(ids []int32, bytes int) error {
	w.part.Bytes += int64(bytes)
	return w.train.Append(ids)
}

// Holdout adds a held-out document.
func (w *PartWriter) Holdout(ids []int32, bytes int) error {
	w.part.HoldoutBytes += int64(bytes)
	w.lengths = append(w.lengths, int64(bytes))
	return w.holdout.Append(ids)
}

// Close finishes the files and returns the part with its figures.
func (w *PartWriter) Close() (Part, error) {
	w.part.Tokens, w.part.Documents = w.train.Tokens(), w.train.Documents()
	w.part.HoldoutTokens, w.part.HoldoutDocuments = w.holdout.Tokens(), w.holdout.Documents()
	if err := w.train.Close(); err != nil {
		w.holdout.Abort()
		return w.part, err
	}
	if err := w.holdout.Close(); err != nil {
		return w.part, err
	}
	return w.part, writeLengths(w.base+".holdout.bytes.npy", w.lengths)
}

// Abort closes the files of a part that will not be finished.
func (w *PartWriter) Abort() {
	w.train.Abort()
	w.holdout.Abort()
}

// TokenizerDir is the folder in a set's folder that holds the tokenizer.
func TokenizerDir(dir string) string { return filepath.Join(dir, tokenizerName) }

// WriteManifest writes mixture.json, which makes dir a set.
func WriteManifest(dir string, m Manifest) error {
	m.Version = formatVersion
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, manifestName), append(data, '\n'), 0o666)
}
