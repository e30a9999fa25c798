package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"

	"athanor/steps/internal/corpus"
)

// Tools and their calls as templates see them: Python's dictionaries, which keep the order of their keys, and Python's
// way to write JSON.

// value makes what a template works on of JSON.
func value(text corpus.JSON) (any, error) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	return decode(d)
}

// decode reads one value.
func decode(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '[' {
			return decodeList(d)
		}
		return decodeObject(d)
	case json.Number:
		if whole, err := strconv.Atoi(v.String()); err == nil {
			return whole, nil
		}
		if !strings.ContainsAny(v.String(), ".eE") {
			return digits(v), nil
		}
		return v.Float64()
	}
	return token, nil // a string, a truth value or nil
}

// digits is a whole number that is too large for Go's.
type digits json.Number

func decodeList(d *json.Decoder) (any, error) {
	list := []any{}
	for d.More() {
		v, err := decode(d)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := d.Token()
	return list, err
}

func decodeObject(d *json.Decoder) (any, error) {
	dict := exec.NewDict()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decode(d)
		if err != nil {
			return nil, err
		}
		dict.Pairs = append(dict.Pairs, &exec.Pair{Key: exec.AsValue(key), Value: exec.AsValue(v)})
	}
	_, err := d.Token()
	return dict, err
}

// pairs lists the entries of a dictionary in their order: of one that a template made, by key.
func pairs(v *exec.Value) []*exec.Pair {
	switch dict := v.Interface().(type) {
	case *exec.Dict:
		return dict.Pairs
	case exec.Dict:
		return dict.Pairs
	}
	var list []*exec.Pair
	v.Iterate(func(_, _ int, key, value *exec.Value) bool {
		list = append(list, &exec.Pair{Key: key, Value: value})
		return true
	}, func() {})
	return list
}

// dictMethods are keys, values, items and get; templates have no use for those that change a dictionary.
func dictMethods() *exec.MethodSet[map[string]any] {
	type self = map[string]any
	list := func(entry func(p *exec.Pair) any) exec.Method[self] {
		return func(_ self, v *exec.Value, args *exec.VarArgs) (any, error) {
			out := []any{}
			for _, p := range pairs(v) {
				out = append(out, entry(p))
			}
			return out, args.Take()
		}
	}
	return exec.NewMethodSet(map[string]exec.Method[self]{
		"keys":   list(func(p *exec.Pair) any { return p.Key.Interface() }),
		"values": list(func(p *exec.Pair) any { return p.Value.Interface() }),
		"items":  list(func(p *exec.Pair) any { return []any{p.Key.Interface(), p.Value.Interface()} }),
		"get": func(_ self, v *exec.Value, args *exec.VarArgs) (any, error) {
			if n := len(args.Args); n < 1 || n > 2 {
				return nil, fmt.Errorf("get takes a key and perhaps a default, not %d arguments", n)
			}
			for _, p := range pairs(v) {
				if p.Key.EqualValueTo(args.Args[0]) {
					return p.Value.Interface(), nil
				}
			}
			if len(args.Args) == 2 {
				return args.Args[1].Interface(), nil
			}
			return nil, nil
		},
	})
}

// toJSON is Python's json.dumps with ensure_ascii=False, as apply_chat_template has it, with its argument indent.
func toJSON(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	w := jsonWriter{}
	if indent, ok := params.KwArgs["indent"]; ok && indent.IsInteger() {
		w.indent = strings.Repeat(" ", indent.Integer())
	}
	if err := w.write(in, 0); err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(w.String())
}

type jsonWriter struct {
	bytes.Buffer
	indent string // "": all on one line
}

func (w *jsonWriter) write(v *exec.Value, depth int) error {
	switch x := v.Interface().(type) {
	case nil:
		w.WriteString("null")
		return nil
	case bool:
		w.WriteString(strconv.FormatBool(x))
		return nil
	case digits:
		w.WriteString(string(x))
		return nil
	case string:
		w.text(x)
		return nil
	}
	switch {
	case v.IsString():
		w.text(v.String())
	case v.IsInteger():
		w.WriteString(strconv.Itoa(v.Integer()))
	case v.IsFloat():
		w.WriteString(pythonFloat(v.Float()))
	case v.IsDict():
		all := pairs(v)
		return w.several('{', '}', len(all), depth, func(i int) error {
			w.text(all[i].Key.String())
			w.WriteString(": ")
			return w.write(all[i].Value, depth+1)
		})
	case v.IsList():
		return w.several('[', ']', v.Len(), depth, func(i int) error { return w.write(v.Index(i), depth+1) })
	default:
		return fmt.Errorf("tojson: no JSON can be made of %s", v.String())
	}
	return nil
}

// several writes what stands between two brackets.
func (w *jsonWriter) several(open, shut byte, n, depth int, entry func(i int) error) error {
	w.WriteByte(open)
	for i := range n {
		switch {
		case w.indent != "" && i > 0:
			w.WriteString(",")
		case i > 0:
			w.WriteString(", ")
		}
		w.line(depth + 1)
		if err := entry(i); err != nil {
			return err
		}
	}
	if n > 0 {
		w.line(depth)
	}
	w.WriteByte(shut)
	return nil
}

// line begins a line where there are several.
func (w *jsonWriter) line(depth int) {
	if w.indent != "" {
		w.WriteString("\n" + strings.Repeat(w.indent, depth))
	}
}

func (w *jsonWriter) text(s string) {
	w.WriteByte('"')
	for _, r := range s {
		switch short := strings.IndexRune("\"\\\b\f\n\r\t", r); {
		case short >= 0:
			w.WriteByte('\\')
			w.WriteByte(`"\bfnrt`[short])
		case r < ' ':
			fmt.Fprintf(w, `\u%04x`, r)
		default:
			w.WriteRune(r)
		}
	}
	w.WriteByte('"')
}

// pythonFloat is repr of a float.
func pythonFloat(f float64) string {
	if size := math.Abs(f); f != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
