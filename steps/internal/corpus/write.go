package corpus

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// Sizes are counted in bytes of content, so that files and row groups end at the same documents everywhere.
const (
	rowGroupBytes = 8 << 20
	rowGroupRows  = 1 << 16
	fileBytes     = 512 << 20
	statsName     = "stats.json"
)

// What stands beside the columns of a shape.
type beside int

const (
	nothing  beside = iota
	answers         // reference and score, beside messages
	verdicts        // margin, scores and sources, beside prompt, chosen and rejected
)

// A Writer makes a dataset. Its methods are called from one goroutine.
type Writer struct {
	dir    string
	shape  Shape
	beside beside
	calls  bool // a document so far has tools or calls of them, and so all have columns for those
	splits map[string]*splitWriter
}

// Create starts a dataset in dir, an existing empty folder.
func Create(dir string) *Writer {
	return &Writer{dir: dir, splits: map[string]*splitWriter{}}
}

// CreateAnswers is Create for dialogues that end with the answer of a model: beside messages they have the columns
// reference and score, which is null where nothing scores.
func CreateAnswers(dir string) *Writer {
	w := Create(dir)
	w.beside = answers
	return w
}

// CreateJudged is Create for preferences about dialogues with a [Verdict]: beside prompt, chosen and rejected they have
// the columns margin, chosen_score, rejected_score, chosen_source and rejected_source.
func CreateJudged(dir string) *Writer {
	w := Create(dir)
	w.beside = verdicts
	return w
}

// Write adds a document to a split. All documents of a dataset have one shape.
func (w *Writer) Write(split string, d *Document) error {
	if shape := d.Shape(); w.shape == "" {
		w.shape = shape
	} else if shape != w.shape {
		return fmt.Errorf("a document of shape %s in a dataset of shape %s", shape, w.shape)
	}
	if !w.calls && d.calls() {
		if err := w.widen(); err != nil {
			return err
		}
	}
	s := w.splits[split]
	if s == nil {
		s = w.split(split)
		w.splits[split] = s
	}
	return s.write(d)
}

func (w *Writer) split(name string) *splitWriter {
	return &splitWriter{dir: w.dir, name: name, shape: w.shape, beside: w.beside, calls: w.calls}
}

// widen writes what is there anew, with columns for tools and their calls, so that all files have the same ones.
func (w *Writer) widen() error {
	w.calls = true
	for name, old := range w.splits {
		if err := old.closeFile(); err != nil {
			return err
		}
		s := w.split(name)
		w.splits[name] = s
		for _, file := range old.split.Files {
			narrow := filepath.Join(w.dir, file+".narrow")
			if err := os.Rename(filepath.Join(w.dir, file), narrow); err != nil {
				return err
			}
			for d, err := range ReadFile(narrow, nil) {
				if err == nil {
					err = s.write(&d)
				}
				if err != nil {
					return err
				}
			}
			if err := os.Remove(narrow); err != nil {
				return err
			}
		}
	}
	return nil
}

// calls reports whether the document has tools or calls of them.
func (d *Document) calls() bool {
	return slices.ContainsFunc(d.Messages, func(m Message) bool { return m.ToolCalls != "" || m.Tools != "" })
}

// Close finishes the files and writes stats.json: stats with Shape, Kept and Splits filled in here.
func (w *Writer) Close(stats *Stats) error {
	var errs []error
	stats.Shape, stats.Kept, stats.Splits = w.shape, 0, map[string]Split{}
	for name, s := range w.splits {
		errs = append(errs, s.closeFile())
		stats.Splits[name] = s.split
		stats.Kept += s.split.Documents
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if stats.Dropped == nil {
		stats.Dropped = map[string]int64{}
	}
	data, err := json.MarshalIndent(stats, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.dir, statsName), append(data, '\n'), 0o666)
}

// Abort closes the files of a dataset that will not be finished.
func (w *Writer) Abort() {
	for _, s := range w.splits {
		if s.file != nil {
			_ = s.file.Close() // the folder is thrown away
			s.file = nil
		}
	}
}

// A splitWriter writes the files of one split, one after another.
type splitWriter struct {
	dir, name string
	shape     Shape
	beside    beside
	calls     bool
	split     Split

	file       *os.File
	buffer     *bufio.Writer
	rows       rowWriter
	groupBytes int64
	groupRows  int64
	written    int64 // bytes of content in this file
}

func (s *splitWriter) write(d *Document) error {
	if s.file == nil {
		if err := s.openFile(); err != nil {
			return err
		}
	}
	if err := s.rows.write(d); err != nil {
		return fmt.Errorf("writing %s: %w", s.file.Name(), err)
	}
	n := int64(d.Bytes())
	s.split.Documents++
	s.split.Bytes += n
	s.groupRows++
	s.groupBytes += n
	s.written += n
	if s.written >= fileBytes {
		return s.closeFile()
	}
	if s.groupBytes >= rowGroupBytes || s.groupRows >= rowGroupRows {
		s.groupBytes, s.groupRows = 0, 0
		if err := s.rows.flush(); err != nil {
			return fmt.Errorf("writing %s: %w", s.file.Name(), err)
		}
	}
	return nil
}

func (s *splitWriter) openFile() error {
	name := fmt.Sprintf("%s-%05d.parquet", s.name, len(s.split.Files))
	f, err := os.Create(filepath.Join(s.dir, name))
	if err != nil {
		return err
	}
	s.file, s.buffer = f, bufio.NewWriterSize(f, 1<<20)
	s.rows = newRowWriter(s.buffer, s.shape, s.beside, s.calls)
	s.groupBytes, s.groupRows, s.written = 0, 0, 0
	s.split.Files = append(s.split.Files, name)
	return nil
}

func (s *splitWriter) closeFile() error {
	if s.file == nil {
		return nil
	}
	err := s.rows.close()
	if err == nil {
		err = s.buffer.Flush()
	}
	if e := s.file.Close(); err == nil {
		err = e
	}
	if err != nil {
		err = fmt.Errorf("writing %s: %w", s.file.Name(), err)
	}
	s.file = nil
	return err
}

// A rowWriter hides which row struct a file has.
type rowWriter interface {
	write(d *Document) error
	flush() error // ends a row group
	close() error
}

func newRowWriter(w *bufio.Writer, shape Shape, beside beside, calls bool) rowWriter {
	switch {
	case beside == answers && shape == MessagesShape:
		return newRows(w, calls, func(d *Document) answeredRow {
			return answeredRow{messagesRows(d), answerColumns{d.Reference, d.Score}}
		})
	case beside == verdicts && shape == DialoguePreferenceShape:
		return newRows(w, calls, func(d *Document) judgedRow {
			v := d.Verdict
			return judgedRow{preferenceRows(d), verdictColumns{v.ChosenScore - v.RejectedScore, v.ChosenScore, v.RejectedScore, v.ChosenSource, v.RejectedSource}}
		})
	}
	switch shape {
	case MessagesShape:
		return newRows(w, calls, messagesRows)
	case LabelledShape:
		return newRows(w, calls, func(d *Document) labelledRow { return labelledRow{messagesRows(d), labelColumn{*d.Label}} })
	case DialoguePreferenceShape:
		return newRows(w, calls, preferenceRows)
	case PromptShape:
		return newRows(w, calls, func(d *Document) promptRow { return promptRow{d.Prompt} })
	case PreferenceShape:
		return newRows(w, calls, func(d *Document) preferenceRow { return preferenceRow{d.Prompt, d.Chosen, d.Rejected} })
	}
	return newRows(w, calls, func(d *Document) textRow { return textRow{d.Text} })
}

func preferenceRows(d *Document) dialoguePreferenceRow {
	return dialoguePreferenceRow{messageRows(d.Messages), answerRow(d.Chosen), answerRow(d.Rejected), tools(d)}
}

func messagesRows(d *Document) messagesRow { return messagesRow{messageRows(d.Messages), tools(d)} }

// tools are those of the dialogue, nil if there are none.
func tools(d *Document) *string {
	for _, m := range d.Messages {
		if m.Tools != "" {
			return column(m.Tools)
		}
	}
	return nil
}

func column(j JSON) *string {
	if j == "" {
		return nil
	}
	s := string(j)
	return &s
}

func messageRows(messages []Message) []messageRow {
	rows := make([]messageRow, len(messages))
	for i, m := range messages {
		rows[i] = messageRow{m.Role, m.Content, column(m.ToolCalls)}
	}
	return rows
}

func answerRow(text string) []messageRow { return []messageRow{{Role: "assistant", Content: text}} }

type rows[T any] struct {
	w   *parquet.GenericWriter[T]
	row func(*Document) T
	one [1]T
}

func newRows[T any](w *bufio.Writer, calls bool, row func(*Document) T) *rows[T] {
	options := []parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.CreatedBy("athanor", "1", ""), // not the build's own version: it would change the bytes
	}
	schema := plain(new(T))
	if calls || schema == nil {
		schema = parquet.SchemaOf(new(T))
	}
	options = append(options, schema)
	for _, path := range schema.Columns() {
		options = append(options, parquet.SkipPageBounds(path...))
	}
	return &rows[T]{w: parquet.NewGenericWriter[T](w, options...), row: row}
}

func (r *rows[T]) write(d *Document) error {
	r.one[0] = r.row(d)
	_, err := r.w.Write(r.one[:])
	return err
}

func (r *rows[T]) flush() error { return r.w.Flush() }
func (r *rows[T]) close() error { return r.w.Close() }
