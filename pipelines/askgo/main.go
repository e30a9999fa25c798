// Askgo makes questions about the functions of a Go source tree, with the first sentence of their doc comments as
// answers. It is the program of three places in a recipe:
//
//	askgo dialogues DIR   {"prompt", "completion"}: what does it do? the true sentence
//	askgo pairs DIR       {"prompt", "chosen", "rejected"}: the true sentence, and others that are wrong in several ways
//	askgo judge           reads {"messages", "answer", "ended"}, one a line, and prints 1 for each answer that is well
//	                      formed: one sentence about the function, which ends, and says nothing twice; otherwise 0
//
// Functions and methods count, exported or not; commands, tests, generated files and the folders testdata and vendor are
// passed over.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// An entry is a function and what its author says of it.
type entry struct {
	name     string // "TrimSpace", "Write"
	of       string // its package, and its type if it is a method: "strings", "bytes.Buffer"
	sentence string
}

// question has the name first: there its tokens are the ones that begin the answer, and copying them is what a small
// model learns soonest.
func (e entry) question() string { return e.name + " of " + e.of + ": what does it do?" }

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "askgo:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	out := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	var err error
	switch {
	case len(args) == 1 && args[0] == "judge":
		err = judge(os.Stdin, out)
	case len(args) == 2 && args[0] == "dialogues":
		err = dialogues(args[1], lines)
	case len(args) == 2 && args[0] == "pairs":
		err = pairs(args[1], lines)
	default:
		err = errors.New("usage: askgo dialogues DIR | pairs DIR | judge")
	}
	return errors.Join(err, out.Flush())
}

func dialogues(root string, lines *json.Encoder) error {
	entries, err := read(root)
	for _, e := range entries {
		err = errors.Join(err, lines.Encode(map[string]string{"prompt": e.question(), "completion": e.sentence}))
	}
	return err
}

// pairs puts beside each true sentence two that are wrong: one about something else, one that is not whole or more than one.
// The name of the function decides in which ways.
func pairs(root string, lines *json.Encoder) error {
	entries, err := read(root)
	for i, e := range entries {
		h := fnv.New32a()
		_, _ = io.WriteString(h, e.question())
		number := int(h.Sum32())
		other := entries[(i+1+number%(len(entries)-1))%len(entries)]
		second := part(e, number)
		if number/12%2 == 0 {
			second = twice(e, other, number)
		}
		for _, wrong := range []string{astray(e, other, number), second} {
			if wrong != e.sentence {
				err = errors.Join(err, lines.Encode(map[string]string{"prompt": e.question(), "chosen": e.sentence, "rejected": wrong}))
			}
		}
	}
	return err
}

// astray is a sentence about another function, or one that names it.
func astray(e, other entry, number int) string {
	name := other.name
	switch number % 4 {
	case 0:
		return other.sentence
	case 1, 2: // a name that begins like the right one and goes on like the other, which is what models get wrong
		name = spliced(e.name, other.name, number/4)
	}
	return name + strings.TrimPrefix(e.sentence, e.name)
}

// words of a name: "tar", "Write", "Header", "ID"
var parts = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+|_+`)

// spliced is the beginning of one name and the end of another, cut where words begin.
func spliced(name, other string, number int) string {
	from, to := parts.FindAllStringIndex(name, -1), parts.FindAllStringIndex(other, -1)
	cut := from[number%len(from)][1]
	result := name[:cut] + other[to[number/7%len(to)][0]:]
	if result == name {
		return name + other
	}
	return result
}

// part is a sentence that stops too soon, with a full stop or without.
func part(e entry, number int) string {
	words := strings.Fields(e.sentence)
	if number/3%2 == 0 {
		return strings.TrimRight(strings.Join(words[:1+number/6%max(1, len(words)/3)], " "), ",;:.") + "."
	}
	return strings.Join(words[:1+number/6%(len(words)-1)], " ")
}

// twice says something again, or goes on with another sentence.
func twice(e, other entry, number int) string {
	words := strings.Fields(e.sentence)
	if number/3%2 == 0 {
		return e.sentence + " " + other.sentence
	}
	end := min(len(words), 4+number/6%len(words))
	return strings.Join(append(words[:end:end], words[max(0, end-4):]...), " ")
}

// read collects the functions of a source tree, in the order of its files.
func read(root string) ([]entry, error) {
	var entries []entry
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch name := d.Name(); {
		case d.IsDir() && (name == "testdata" || name == "vendor" || name == "cmd"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil || ast.IsGenerated(file) {
			return nil // a file for another language version has nothing to say here
		}
		for _, decl := range file.Decls {
			if e, ok := describe(file.Name.Name, decl); ok && !seen[e.question()] {
				seen[e.question()] = true
				entries = append(entries, e)
			}
		}
		return nil
	})
	return entries, err
}

// describe reads a declaration. One without a sentence that is well formed is passed over.
func describe(pkg string, decl ast.Decl) (entry, bool) {
	f, ok := decl.(*ast.FuncDecl)
	if !ok || f.Doc == nil {
		return entry{}, false
	}
	e := entry{name: f.Name.Name, of: pkg}
	if f.Recv != nil {
		e.of += "." + receiver(f.Recv.List[0].Type)
	}
	text := f.Doc.Text()
	e.sentence = new(doc.Package).Synopsis(text)
	if strings.Contains(text, "Deprecated:") || len(e.sentence) > maxBytes || !wellFormed(e.name, e.sentence) {
		return entry{}, false
	}
	return e, true
}

// receiver is the name of a method's type.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// maxBytes is the longest sentence that a small model is asked to learn.
const maxBytes = 100

var (
	stop = regexp.MustCompile(`[.!?]["')\]]*\s+["'(\[]*[A-Z]`) // between two sentences
	asks = regexp.MustCompile(`^(\w+) of `)
)

// wellFormed reports whether a text is one sentence that begins with a name and repeats no four words in a row.
func wellFormed(name, text string) bool {
	words := strings.Fields(text)
	if len(words) < 3 || words[0] != name || !strings.HasSuffix(text, ".") || stop.MatchString(text) || strings.Contains(text, "\n") {
		return false
	}
	seen := map[[4]string]bool{}
	for i := 0; i+4 <= len(words); i++ {
		four := [4]string(words[i : i+4])
		if seen[four] {
			return false
		}
		seen[four] = true
	}
	return true
}

// judge reads answers and prints points.
func judge(in io.Reader, out io.Writer) error {
	for lines := json.NewDecoder(in); ; {
		var a struct {
			Messages []struct{ Content string }
			Answer   string
			Ended    bool
		}
		if err := lines.Decode(&a); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		points := 0
		if len(a.Messages) > 0 {
			asked := asks.FindStringSubmatch(a.Messages[len(a.Messages)-1].Content)
			if asked != nil && a.Ended && wellFormed(asked[1], a.Answer) {
				points = 1
			}
		}
		if _, err := fmt.Fprintln(out, points); err != nil {
			return err
		}
	}
}
