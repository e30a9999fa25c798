package corpus

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/parquet-go/parquet-go"
)

// rowsAtOnce rows are decoded at a time.
const rowsAtOnce = 64

// A decoded is what became of a row.
type decoded struct {
	doc Document
	err error
}

// errUneven says that messages cannot be put together.
var errUneven = errors.New("its messages do not have one role and one content each")

// errNested says that calls would be lost.
var errNested = errors.New("its messages have tool_calls as columns of their own, which are not read: write each message's tool_calls as one string of JSON, or use JSON lines")

// A rowReader makes documents of rows. It goes by the leaf columns alone, so that any nesting that a tool chose for
// the list of messages will do.
type rowReader struct {
	set  map[int]func(d *Document, v parquet.Value) // what to do with the value of a leaf column
	rows []parquet.Row
	docs []decoded

	named         bool              // the column of the prompt was asked for by name
	lists         map[string]*turns // of one row, by the column of Document
	input, answer string            // of one row: what the prompt is about, and the completion
	tools         string            // of one row
	verdict       Verdict           // of one row
	nested        bool              // of one row: it has calls in columns of their own
}

// turns are the messages of one column of a row.
type turns struct{ roles, contents, calls []string }

// newRowReader finds the columns of a document among those of a file; columns renames them as in [ReadFile].
func newRowReader(schema *parquet.Schema, columns map[string]string) (*rowReader, error) {
	name := func(column string) string {
		if mapped := columns[column]; mapped != "" {
			return mapped
		}
		return column
	}
	r := &rowReader{
		set: map[int]func(*Document, parquet.Value){}, rows: make([]parquet.Row, rowsAtOnce), lists: map[string]*turns{},
		named: columns["prompt"] != "",
	}
	plain, inLists := r.columns(name, columns["input"])
	var have []string
	wanted := false
	for i, path := range schema.Columns() {
		var set func(*Document, string)
		if len(path) == 1 {
			set = plain[path[0]]
			r.aside(i, schema, path[0], name("label"))
		} else if slices.Contains(path[1:len(path)-1], "tool_calls") {
			r.set[i] = func(_ *Document, v parquet.Value) { r.nested = r.nested || !v.IsNull() }
			continue
		} else {
			leaf := path[0] + "/" + path[len(path)-1]
			set = inLists[leaf]
			delete(inLists, leaf) // a deeper leaf of that name is something else
		}
		if !slices.Contains(have, path[0]) {
			have = append(have, path[0])
		}
		if set == nil {
			continue
		}
		leaf, ok := schema.Lookup(path...)
		if !ok || leaf.Node.Type().Kind() != parquet.ByteArray {
			return nil, fmt.Errorf("the column %s does not hold strings", path[0])
		}
		wanted = true
		r.set[i] = func(d *Document, v parquet.Value) {
			if v.IsNull() {
				set(d, "")
				return
			}
			set(d, string(v.ByteArray()))
		}
	}
	if !wanted {
		return nil, fmt.Errorf("%w: the file has %v", ErrColumns, have)
	}
	return r, nil
}

// columns says what to do with the texts of a row: those of plain columns, by name, and those in lists of messages, by
// column and leaf. input is a column to take only if it is asked for, because many files have one of that name.
func (r *rowReader) columns(name func(string) string, input string) (plain, inLists map[string]func(*Document, string)) {
	plain = map[string]func(*Document, string){
		name("text"):       func(d *Document, s string) { d.Text = s },
		name("prompt"):     func(d *Document, s string) { d.Prompt = s },
		name("completion"): func(_ *Document, s string) { r.answer = s },
		name("chosen"):     func(d *Document, s string) { d.Chosen = s },
		name("rejected"):   func(d *Document, s string) { d.Rejected = s },
	}
	if input != "" {
		plain[input] = func(_ *Document, s string) { r.input = s }
	}
	inLists = map[string]func(*Document, string){}
	for _, list := range []string{"messages", "prompt", "chosen", "rejected"} {
		t := &turns{}
		r.lists[list] = t
		inLists[name(list)+"/"+name("role")] = func(_ *Document, s string) { t.roles = append(t.roles, s) }
		inLists[name(list)+"/"+name("content")] = func(_ *Document, s string) { t.contents = append(t.contents, s) }
		inLists[name(list)+"/tool_calls"] = func(_ *Document, s string) { t.calls = append(t.calls, s) }
	}
	return plain, inLists
}

// aside takes what may stand beside the columns of a document: a label, and what [CreateAnswers] writes there.
func (r *rowReader) aside(column int, schema *parquet.Schema, name, label string) {
	leaf, ok := schema.Lookup(name)
	switch {
	case !ok:
	case name == label && leaf.Node.Type().Kind() == parquet.Boolean:
		r.set[column] = func(d *Document, v parquet.Value) {
			if !v.IsNull() {
				label := v.Boolean()
				d.Label = &label
			}
		}
	case name == "tools" && leaf.Node.Type().Kind() == parquet.ByteArray:
		r.set[column] = func(_ *Document, v parquet.Value) { r.tools = string(v.ByteArray()) }
	case name == "score" && leaf.Node.Type().Kind() == parquet.Double:
		r.set[column] = func(d *Document, v parquet.Value) {
			if !v.IsNull() {
				score := v.Double()
				d.Score = &score
			}
		}
	case name == "chosen_score" && leaf.Node.Type().Kind() == parquet.Double:
		r.set[column] = func(_ *Document, v parquet.Value) { r.verdict.ChosenScore = v.Double() }
	case name == "rejected_score" && leaf.Node.Type().Kind() == parquet.Double:
		r.set[column] = func(_ *Document, v parquet.Value) { r.verdict.RejectedScore = v.Double() }
	case name == "chosen_source" && leaf.Node.Type().Kind() == parquet.ByteArray:
		r.set[column] = func(_ *Document, v parquet.Value) { r.verdict.ChosenSource = string(v.ByteArray()) }
	case name == "rejected_source" && leaf.Node.Type().Kind() == parquet.ByteArray:
		r.set[column] = func(_ *Document, v parquet.Value) { r.verdict.RejectedSource = string(v.ByteArray()) }
	case name == "reference" && leaf.Node.Type().Kind() == parquet.ByteArray:
		r.set[column] = func(d *Document, v parquet.Value) { d.Sampled, d.Reference = true, string(v.ByteArray()) }
	}
}

// readGroup yields the documents of a row group. It reports whether yield wants more.
func (r *rowReader) readGroup(group parquet.RowGroup, yield func(Document, error) bool) (more bool, err error) {
	rows := group.Rows()
	defer func() {
		if e := rows.Close(); err == nil {
			err = e
		}
	}()
	left := group.NumRows()
	for left > 0 {
		err := r.next(rows)
		left -= int64(len(r.docs))
		for _, d := range r.docs {
			if !yield(d.doc, d.err) {
				return false, nil
			}
		}
		switch {
		case errors.Is(err, io.EOF) && left > 0:
			return false, io.ErrUnexpectedEOF
		case err != nil && !errors.Is(err, io.EOF):
			return false, err
		case err == nil && len(r.docs) == 0:
			return false, io.ErrNoProgress
		}
	}
	return true, nil
}

// next decodes some rows into r.docs.
func (r *rowReader) next(rows parquet.Rows) (err error) {
	defer recoverDamage(&err)
	r.docs = r.docs[:0]
	n, err := rows.ReadRows(r.rows)
	for _, row := range r.rows[:n] {
		d, err := r.document(row)
		if err != nil {
			err = &RecordError{err}
		}
		r.docs = append(r.docs, decoded{d, err})
	}
	return err
}

func (r *rowReader) document(row parquet.Row) (Document, error) {
	var d Document
	r.input, r.answer, r.tools, r.nested, r.verdict = "", "", "", false, Verdict{}
	for _, t := range r.lists {
		t.roles, t.contents, t.calls = t.roles[:0], t.contents[:0], t.calls[:0]
	}
	for _, v := range row {
		if set := r.set[v.Column()]; set != nil {
			set(&d, v)
		}
	}
	for _, t := range r.lists {
		if len(t.roles) != len(t.contents) || len(t.calls) > 0 && len(t.calls) != len(t.roles) {
			return d, errUneven
		}
	}
	if r.nested {
		return d, errNested
	}
	if err := r.fold(&d); err != nil {
		return d, err
	}
	if len(d.Messages) > 0 {
		d.Messages[0].Tools = JSON(r.tools)
	}
	if r.verdict != (Verdict{}) {
		verdict := r.verdict
		d.Verdict = &verdict
	}
	return d, nil
}

// fold makes a document's messages and answers of the lists and of the prompt's companions.
func (r *rowReader) fold(d *Document) error {
	if d.Prompt != "" && r.input != "" {
		d.Prompt += "\n\n" + r.input
	}
	if r.answer != "" {
		d.Messages, d.Prompt = []Message{{Role: "user", Content: d.Prompt}, {Role: "assistant", Content: r.answer}}, ""
	}
	if m := r.lists["messages"].messages(); len(m) > 0 {
		d.Messages = m
	} else if m := r.lists["prompt"].messages(); len(m) > 0 {
		d.Messages = m
	}
	chosen, rejected := r.lists["chosen"].messages(), r.lists["rejected"].messages()
	if d.Prompt == "" && len(d.Messages) == 0 && len(chosen)+len(rejected) == 0 {
		chosen, rejected = Transcript(d.Chosen), Transcript(d.Rejected)
	}
	if len(chosen) == 0 || len(rejected) == 0 {
		return nil
	}
	pair := Compared{Prompt: d.Messages, Text: d.Prompt, Named: r.named, Chosen: chosen, Rejected: rejected}
	var err error
	*d, err = pair.Preference()
	return err
}

func (t *turns) messages() []Message {
	var list []Message
	for i, role := range t.roles {
		m := Message{Role: role, Content: t.contents[i]}
		if len(t.calls) > 0 {
			m.ToolCalls = JSON(t.calls[i])
		}
		if m != (Message{}) { // an empty list reads as one null
			list = append(list, m)
		}
	}
	return list
}
