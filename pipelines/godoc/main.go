// Godoc prints the prose of Go source trees: the text of the doc comments, one JSON line {"text": …} for each file
// that has some. It is a corpus extractor for a dataset's program block:
//
//	program {
//	  command = ["go", "run", "./godoc", "${goroot()}/src/cmd"]
//	}
//
// Test files, generated files and the folders testdata and vendor are passed over.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// minChars is the least text worth a document of its own.
const minChars = 200

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: godoc DIR…")
		os.Exit(2)
	}
	out := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for _, root := range os.Args[1:] {
		if err := walk(root, lines); err != nil {
			fmt.Fprintln(os.Stderr, "godoc:", err)
			os.Exit(1)
		}
	}
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "godoc:", err)
		os.Exit(1)
	}
}

func walk(root string, lines *json.Encoder) error {
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := e.Name(); e.IsDir() && (name == "testdata" || name == "vendor") {
			return filepath.SkipDir
		} else if e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil || ast.IsGenerated(file) {
			return nil // a file for another language version has nothing to say here
		}
		if text := prose(file); len(text) >= minChars {
			return lines.Encode(map[string]string{"text": text})
		}
		return nil
	})
}

// prose joins the doc comments of the file and of its declarations, in their order.
func prose(file *ast.File) string {
	var parts []string
	add := func(doc *ast.CommentGroup) {
		if text := strings.TrimSpace(doc.Text()); text != "" {
			parts = append(parts, text)
		}
	}
	add(file.Doc)
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			add(d.Doc)
		case *ast.GenDecl:
			add(d.Doc)
			for _, spec := range d.Specs {
				if s, ok := spec.(*ast.TypeSpec); ok {
					add(s.Doc)
				}
			}
		}
	}
	return strings.Join(parts, "\n\n")
}
