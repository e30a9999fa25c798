package dataset

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"athanor/steps"
	"athanor/steps/internal/corpus"
)

// maxRecord is the most bytes that one document or line may have.
const maxRecord = 1 << 30

// A record is what a source yields before it is parsed.
type record struct {
	path   string // of its file; empty for a program
	number int    // of the record or line in its file, from 1
	json   []byte // an object, for jsonl and program
	doc    corpus.Document
	bad    error // it is none
}

// where names a record to people.
func (r *record) where() string {
	if r.path == "" {
		return fmt.Sprintf("line %d of its output", r.number)
	}
	return fmt.Sprintf("%s:%d", r.path, r.number)
}

func (r *record) size() int { return len(r.json) + r.doc.Bytes() }

// A reader goes through the sources and hands their records on, in order.
type reader struct {
	spec *steps.Spec
	read atomic.Int64 // bytes of files, as they lie on disk
	emit func(*source, record) error
}

// errEnough is what emit returns when no more records are wanted.
var errEnough = errors.New("enough")

// all reads every source.
func (r *reader) all(ctx context.Context, sources []*source) error {
	for _, src := range sources {
		if err := r.source(ctx, src); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) source(ctx context.Context, src *source) error {
	if b, ok := src.config.(*ProgramSource); ok {
		return r.program(ctx, src, b)
	}
	for _, path := range src.files {
		var err error
		switch src.kind {
		case textFiles:
			err = r.textFile(path, src, src.config.(*FileSource).Separator)
		case jsonFiles:
			err = r.jsonFile(path, src)
		case parquetFiles:
			err = r.parquetFile(path, src)
		}
		switch {
		case errors.Is(err, errEnough):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return steps.Blame(src.at+".include", "%w", err)
		}
	}
	return nil
}

// textFile reads the documents of a text file: the whole, or the pieces between separators. Pieces of white space alone
// are nothing.
func (r *reader) textFile(path string, src *source, separator *string) error {
	f, err := openText(path, &r.read)
	if err != nil {
		return err
	}
	defer f.Close()
	if separator == nil {
		data, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(data) > maxRecord {
			return fmt.Errorf("%s: one document of more than 1 GiB: set separator to cut the file into documents", path)
		}
		return r.emit(src, record{path: path, number: 1, doc: corpus.Document{Text: string(data)}})
	}
	scan := bufio.NewScanner(f)
	scan.Buffer(nil, maxRecord)
	scan.Split(splitAt([]byte(*separator)))
	for number := 1; scan.Scan(); number++ {
		if len(bytes.TrimSpace(scan.Bytes())) == 0 {
			continue
		}
		if err := r.emit(src, record{path: path, number: number, doc: corpus.Document{Text: scan.Text()}}); err != nil {
			return err
		}
	}
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%s: more than 1 GiB without the separator %q", path, *separator)
	}
	return wrap(path, scan.Err())
}

// splitAt cuts at every occurrence of sep, which belongs to no piece.
func splitAt(sep []byte) bufio.SplitFunc {
	return func(data []byte, atEOF bool) (int, []byte, error) {
		if i := bytes.Index(data, sep); i >= 0 {
			return i + len(sep), data[:i], nil
		}
		if atEOF && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}

// jsonFile reads a file of JSON lines, or one whose first character is [, a list.
func (r *reader) jsonFile(path string, src *source) error {
	f, err := openText(path, &r.read)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		c, err := f.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return wrap(path, err)
		}
		if strings.IndexByte(" \t\r\n", c) < 0 || c == '\n' { // a line end counts as a line
			if err := f.UnreadByte(); err != nil {
				return wrap(path, err)
			}
			if c == '[' {
				return r.jsonList(f, path, src)
			}
			return r.jsonLines(f, path, src)
		}
	}
}

// jsonLines hands each line on. Lines end at \n alone: JSON text may hold U+2028 as it is. Blank lines are nothing.
func (r *reader) jsonLines(in io.Reader, path string, src *source) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 1<<16), maxRecord)
	for number := 1; scan.Scan(); number++ {
		line := bytes.TrimSpace(scan.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := r.emit(src, record{path: path, number: number, json: bytes.Clone(line)}); err != nil {
			return err
		}
	}
	if errors.Is(scan.Err(), bufio.ErrTooLong) {
		return wrap(path, errors.New("a line of more than 1 GiB"))
	}
	return wrap(path, scan.Err())
}

func (r *reader) jsonList(in io.Reader, path string, src *source) error {
	dec := json.NewDecoder(in)
	if _, err := dec.Token(); err != nil { // the bracket
		return wrap(path, err)
	}
	number := 1
	for ; dec.More(); number++ {
		var object json.RawMessage
		if err := dec.Decode(&object); err != nil {
			return wrap(path, fmt.Errorf("element %d of the list: %w", number, err))
		}
		if err := r.emit(src, record{path: path, number: number, json: object}); err != nil {
			return err
		}
	}
	if _, err := dec.Token(); err != nil {
		return wrap(path, fmt.Errorf("after element %d of the list: %w", number-1, err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return wrap(path, errors.New("there is more after the end of the list"))
	}
	return nil
}

func (r *reader) parquetFile(path string, src *source) error {
	names := map[string]string{}
	for column, name := range map[string]*string{
		"text": src.columns.Text, "messages": src.columns.Messages, "role": src.columns.Role, "content": src.columns.Content,
		"prompt": src.columns.Prompt, "input": src.columns.Input, "completion": src.columns.Answer, "chosen": src.columns.Chosen, "rejected": src.columns.Rejected,
		"label": src.columns.Label,
	} {
		if name != nil {
			names[column] = *name
		}
	}
	number := 0
	for doc, err := range corpus.ReadFile(path, names) {
		bad := (*corpus.RecordError)(nil)
		if err != nil && !errors.As(err, &bad) {
			return err
		}
		number++
		one := record{path: path, number: number, doc: doc}
		if bad != nil {
			one.bad = bad.Err
		}
		if err := r.emit(src, one); err != nil {
			return err
		}
	}
	if info, err := os.Stat(path); err == nil {
		r.read.Add(info.Size())
	}
	return nil
}

// wrap names the file in an error that does not.
func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}
