package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"

	"athanor/steps/internal/corpus"
)

// A spool keeps documents in a scratch file and gives them back by number.
type spool struct {
	file    *os.File
	buffer  *bufio.Writer
	offsets []int64 // of each document, and where the next one begins
	data    []byte
}

// A spooled is a document in a spool.
type spooled struct {
	where string // it came from
	hash  uint64 // that decides its split
	doc   corpus.Document
}

func newSpool(dir string) (*spool, error) {
	f, err := os.CreateTemp(dir, "documents-*")
	if err != nil {
		return nil, err
	}
	return &spool{file: f, buffer: bufio.NewWriterSize(f, 1<<20), offsets: []int64{0}}, nil
}

// add appends a document.
func (s *spool) add(d *spooled) error {
	b := binary.LittleEndian.AppendUint64(s.data[:0], d.hash)
	text := func(t string) {
		b = binary.AppendUvarint(b, uint64(len(t)))
		b = append(b, t...)
	}
	for _, t := range [...]string{d.where, d.doc.Text, d.doc.Prompt, d.doc.Chosen, d.doc.Rejected} {
		text(t)
	}
	b = binary.AppendUvarint(b, uint64(len(d.doc.Messages)))
	for _, m := range d.doc.Messages {
		text(m.Role)
		text(m.Content)
		text(string(m.ToolCalls))
		text(string(m.Tools))
	}
	label := ""
	if d.doc.Label != nil {
		label = strconv.FormatBool(*d.doc.Label)
	}
	text(label)
	s.data = b
	if _, err := s.buffer.Write(b); err != nil {
		return fmt.Errorf("setting a document aside: %w", err)
	}
	s.offsets = append(s.offsets, s.offsets[len(s.offsets)-1]+int64(len(b)))
	return nil
}

// full ends the writing.
func (s *spool) full() error { return s.buffer.Flush() }

func (s *spool) len() int { return len(s.offsets) - 1 }

// at reads document i, after full.
func (s *spool) at(i int) (*spooled, error) {
	data := make([]byte, s.offsets[i+1]-s.offsets[i])
	if _, err := s.file.ReadAt(data, s.offsets[i]); err != nil {
		return nil, fmt.Errorf("reading a document that was set aside: %w", err)
	}
	d := &spooled{hash: binary.LittleEndian.Uint64(data)}
	data = data[8:]
	number := func() uint64 {
		n, size := binary.Uvarint(data)
		data = data[size:]
		return n
	}
	text := func() string {
		n := number()
		t := string(data[:n])
		data = data[n:]
		return t
	}
	for _, t := range [...]*string{&d.where, &d.doc.Text, &d.doc.Prompt, &d.doc.Chosen, &d.doc.Rejected} {
		*t = text()
	}
	if n := number(); n > 0 {
		d.doc.Messages = make([]corpus.Message, n)
		for i := range d.doc.Messages {
			d.doc.Messages[i] = corpus.Message{Role: text(), Content: text(), ToolCalls: corpus.JSON(text()), Tools: corpus.JSON(text())}
		}
	}
	if label := text(); label != "" {
		good := label == "true"
		d.doc.Label = &good
	}
	return d, nil
}

// close removes the scratch file.
func (s *spool) close() error { return errors.Join(s.file.Close(), os.Remove(s.file.Name())) }
