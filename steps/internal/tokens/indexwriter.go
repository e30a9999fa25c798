package tokens

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
)

// An IndexedWriter writes base.bin and base.idx in the format of [Indexed].
type IndexedWriter struct {
	base  string
	vocab int
	width int
	bin   *os.File
	buf   *bufio.Writer
	sizes []int32
	total int64
}

// CreateIndexed starts a file of ids below vocabSize: 16-bit numbers if they fit.
func CreateIndexed(base string, vocabSize int) (*IndexedWriter, error) {
	f, err := os.Create(base + ".bin")
	if err != nil {
		return nil, err
	}
	w := &IndexedWriter{base: base, vocab: vocabSize, width: 4, bin: f, buf: bufio.NewWriterSize(f, 1<<18)}
	if vocabSize < 1<<16 {
		w.width = 2
	}
	return w, nil
}

// Append adds a document.
func (w *IndexedWriter) Append(ids []int32) error {
	if len(ids) > math.MaxInt32 || len(w.sizes) == math.MaxInt32 {
		return fmt.Errorf("writing %s.bin: a document of %d tokens after %d documents is more than the format holds", w.base, len(ids), len(w.sizes))
	}
	w.sizes = append(w.sizes, int32(len(ids)))
	w.total += int64(len(ids))
	for len(ids) > 0 {
		room := w.buf.AvailableBuffer()
		chunk := ids[:min(len(ids), max(1, cap(room)/w.width))]
		for _, id := range chunk {
			if id < 0 || int(id) >= w.vocab {
				return fmt.Errorf("writing %s.bin: the id %d is not below the vocabulary's size, %d", w.base, id, w.vocab)
			}
			if w.width == 2 {
				room = binary.LittleEndian.AppendUint16(room, uint16(id))
			} else {
				room = binary.LittleEndian.AppendUint32(room, uint32(id))
			}
		}
		if _, err := w.buf.Write(room); err != nil {
			return err
		}
		ids = ids[len(chunk):]
	}
	return nil
}

// Tokens is the number of tokens added so far.
func (w *IndexedWriter) Tokens() int64 { return w.total }

// Documents is the number of documents added so far.
func (w *IndexedWriter) Documents() int64 { return int64(len(w.sizes)) }

// Close finishes both files.
func (w *IndexedWriter) Close() error {
	err := w.buf.Flush()
	if e := w.bin.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	f, err := os.Create(w.base + ".idx")
	if err != nil {
		return err
	}
	return errors.Join(w.writeIndex(f), f.Close())
}

// Abort closes the files of a writer that will not be finished.
func (w *IndexedWriter) Abort() { _ = w.bin.Close() } // the folder is thrown away

func (w *IndexedWriter) writeIndex(f *os.File) error {
	buf := bufio.NewWriterSize(f, 1<<18)
	code := byte(codeInt32)
	if w.width == 2 {
		code = codeUint16
	}
	out := append(make([]byte, 0, indexHeader), indexMagic...)
	out = binary.LittleEndian.AppendUint64(out, indexVersion)
	out = append(out, code)
	out = binary.LittleEndian.AppendUint64(out, uint64(len(w.sizes)))
	out = binary.LittleEndian.AppendUint64(out, uint64(len(w.sizes)+1))
	_, _ = buf.Write(out) // errors stay in buf and come out of Flush
	for _, n := range w.sizes {
		_, _ = buf.Write(binary.LittleEndian.AppendUint32(buf.AvailableBuffer(), uint32(n)))
	}
	offset := int64(0)
	for _, n := range w.sizes {
		_, _ = buf.Write(binary.LittleEndian.AppendUint64(buf.AvailableBuffer(), uint64(offset)))
		offset += int64(n) * int64(w.width)
	}
	for i := range len(w.sizes) + 1 {
		_, _ = buf.Write(binary.LittleEndian.AppendUint64(buf.AvailableBuffer(), uint64(i)))
	}
	return buf.Flush()
}
