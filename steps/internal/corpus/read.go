package corpus

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/parquet-go/parquet-go"
)

// A Dataset is a folder of documents. Its methods may be called from several goroutines.
type Dataset struct {
	dir   string
	stats Stats
}

// Open opens the dataset in dir. It reads stats.json and no document.
func Open(dir string) (*Dataset, error) {
	path := filepath.Join(dir, statsName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("opening a dataset: %w", err)
	}
	d := &Dataset{dir: dir}
	if err := json.Unmarshal(data, &d.stats); err != nil {
		return nil, fmt.Errorf("opening a dataset: %s: %w", path, err)
	}
	return d, nil
}

// Stats returns what stats.json holds. Do not change it.
func (d *Dataset) Stats() *Stats { return &d.stats }

// Shape says which columns the documents have.
func (d *Dataset) Shape() Shape { return d.stats.Shape }

// Documents yields the documents of a split in their order; none if there is no such split. After an error it ends.
func (d *Dataset) Documents(split string) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		for _, name := range d.stats.Splits[split].Files {
			for doc, err := range ReadFile(filepath.Join(d.dir, name), nil) {
				if !yield(doc, err) || err != nil {
					return
				}
			}
		}
	}
}

// ErrColumns is wrapped when a Parquet file has none of the columns that make a document.
var ErrColumns = errors.New("no column for a document")

// ReadFile yields the documents of one Parquet file, wherever it came from. columns maps the names of [Document]'s
// columns (text, messages, role, content, prompt, completion, chosen, rejected, label) to those of the file where they differ;
// input, if it is there, is joined to the prompt. A [RecordError] is about one record, and others follow; any other error
// names the file, and after it the sequence ends.
func ReadFile(path string, columns map[string]string) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		stopped := false
		err := readFile(path, columns, func(d Document, err error) bool {
			stopped = !yield(d, err)
			return !stopped
		})
		if err != nil && !stopped {
			yield(Document{}, fmt.Errorf("%s: %w", path, err))
		}
	}
}

// A RecordError says why a record is no document.
type RecordError struct{ Err error }

func (e *RecordError) Error() string { return e.Err.Error() }
func (e *RecordError) Unwrap() error { return e.Err }

func readFile(path string, columns map[string]string, yield func(Document, error) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err) // the caller names the file
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return errors.New("is a folder, not a Parquet file")
	}
	file, err := openParquet(f, info.Size())
	if err != nil {
		return fmt.Errorf("not a whole Parquet file: %w", err)
	}
	r, err := newRowReader(file.Schema(), columns)
	if err != nil {
		return err
	}
	for _, group := range file.RowGroups() {
		more, err := r.readGroup(group, yield)
		if err != nil {
			return fmt.Errorf("damaged Parquet file: %w", err)
		}
		if !more {
			break
		}
	}
	return nil
}

func openParquet(f *os.File, size int64) (file *parquet.File, err error) {
	defer recoverDamage(&err)
	return parquet.OpenFile(f, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
}

// recoverDamage turns a panic into an error: the Parquet library can index beyond its buffers on damaged input.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%v", r)
	}
}
