package corpus

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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

// One struct per Shape; the tags are the column names of Hugging Face. No column has statistics: the least and the
// greatest text of a page are of no use to anyone.
type (
	textRow struct {
		Text string `parquet:"text,plain"`
	}
	messageRow struct {
		Role      string  `parquet:"role,plain"`
		Content   string  `parquet:"content,plain"`
		ToolCalls *string `parquet:"tool_calls,optional,plain"` // JSON
	}
	messagesRow struct {
		Messages []messageRow `parquet:"messages,list"`
		Tools    *string      `parquet:"tools,optional,plain"` // JSON
	}
	answeredRow struct {
		messagesRow
		Reference string   `parquet:"reference,plain"`
		Score     *float64 `parquet:"score,optional"`
	}
	labelledRow struct {
		messagesRow
		Label bool `parquet:"label"`
	}
	promptRow struct {
		Prompt string `parquet:"prompt,plain"`
	}
	preferenceRow struct {
		Prompt   string `parquet:"prompt,plain"`
		Chosen   string `parquet:"chosen,plain"`
		Rejected string `parquet:"rejected,plain"`
	}
	dialoguePreferenceRow struct {
		Prompt   []messageRow `parquet:"prompt,list"`
		Chosen   []messageRow `parquet:"chosen,list"`
		Rejected []messageRow `parquet:"rejected,list"`
		Tools    *string      `parquet:"tools,optional,plain"` // JSON
	}
	judgedRow struct {
		dialoguePreferenceRow
		Margin         float64 `parquet:"margin"`
		ChosenScore    float64 `parquet:"chosen_score"`
		RejectedScore  float64 `parquet:"rejected_score"`
		ChosenSource   string  `parquet:"chosen_source,plain"`
		RejectedSource string  `parquet:"rejected_source,plain"`
	}
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
	s := w.splits[split]
	if s == nil {
		s = &splitWriter{dir: w.dir, name: split, shape: w.shape, beside: w.beside}
		w.splits[split] = s
	}
	return s.write(d)
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
	s.rows = newRowWriter(s.buffer, s.shape, s.beside)
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

func newRowWriter(w *bufio.Writer, shape Shape, beside beside) rowWriter {
	switch {
	case beside == answers && shape == MessagesShape:
		return newRows(w, func(d *Document) answeredRow { return answeredRow{messagesRows(d), d.Reference, d.Score} })
	case beside == verdicts && shape == DialoguePreferenceShape:
		return newRows(w, func(d *Document) judgedRow {
			v := d.Verdict
			return judgedRow{preferenceRows(d), v.ChosenScore - v.RejectedScore, v.ChosenScore, v.RejectedScore, v.ChosenSource, v.RejectedSource}
		})
	}
	switch shape {
	case MessagesShape:
		return newRows(w, messagesRows)
	case LabelledShape:
		return newRows(w, func(d *Document) labelledRow { return labelledRow{messagesRows(d), *d.Label} })
	case DialoguePreferenceShape:
		return newRows(w, preferenceRows)
	case PromptShape:
		return newRows(w, func(d *Document) promptRow { return promptRow{d.Prompt} })
	case PreferenceShape:
		return newRows(w, func(d *Document) preferenceRow { return preferenceRow{d.Prompt, d.Chosen, d.Rejected} })
	}
	return newRows(w, func(d *Document) textRow { return textRow{d.Text} })
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

func newRows[T any](w *bufio.Writer, row func(*Document) T) *rows[T] {
	options := []parquet.WriterOption{
		parquet.Compression(&zstd.Codec{Level: zstd.SpeedDefault}),
		parquet.CreatedBy("athanor", "1", ""), // not the build's own version: it would change the bytes
	}
	for _, path := range parquet.SchemaOf(new(T)).Columns() {
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
