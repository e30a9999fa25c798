package dsl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A Source is the text of a pipeline: one file, or every .hcl file of a folder. It is what diagnostics quote from.
type Source struct {
	path   string // as given
	dir    string // absolute folder of the pipeline
	name   string // the file's base name without .hcl, or the folder's
	files  []*file
	broken hcl.Diagnostics   // what Parse found; Load has nothing to add to a text that does not parse
	texts  map[string][]byte // what diagnostics may quote, by file name: the files, --var values, --var-file files
}

// A file is one parsed file.
type file struct {
	name string
	body *hclsyntax.Body
}

// Text is the text of a file of the pipeline, by its name in Program.Files.
func (s *Source) Text(name string) string { return string(s.texts[name]) }

// Parse reads a pipeline: a file, or the .hcl files of a folder in the order of their names, without its subfolders.
// The Source is never nil: diagnostics are written with it.
func Parse(path string) (*Source, hcl.Diagnostics) {
	s := &Source{path: path, texts: map[string][]byte{}}
	s.broken = s.read()
	return s, s.broken
}

func (s *Source) read() hcl.Diagnostics {
	info, err := os.Stat(s.path)
	if err != nil {
		return hcl.Diagnostics{unreadable(s.path, err)}
	}
	absolute, err := filepath.Abs(s.path)
	if err != nil {
		return hcl.Diagnostics{unreadable(s.path, err)}
	}
	var diags hcl.Diagnostics
	if info.IsDir() {
		s.dir, s.name = absolute, filepath.Base(absolute)
		diags = s.parseFolder()
	} else {
		s.dir = filepath.Dir(absolute)
		s.name = strings.TrimSuffix(filepath.Base(absolute), ".hcl")
		diags = s.parseFile(s.path)
	}
	return append(diags, s.include()...)
}

func (s *Source) parseFolder() hcl.Diagnostics {
	entries, err := os.ReadDir(s.path)
	if err != nil {
		return hcl.Diagnostics{unreadable(s.path, err)}
	}
	var diags hcl.Diagnostics
	found := false
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".hcl") && !strings.HasPrefix(name, ".") && !entry.IsDir() {
			found = true
			diags = append(diags, s.parseFile(filepath.Join(s.path, name))...)
		}
	}
	if !found {
		diags = append(diags, &hcl.Diagnostic{
			Severity: hcl.DiagError,
			Summary:  "No pipeline in this folder",
			Detail:   fmt.Sprintf("%s holds no .hcl file. Name a pipeline's file or its folder.", s.path),
		})
	}
	return diags
}

func (s *Source) parseFile(name string) hcl.Diagnostics {
	text, err := os.ReadFile(name)
	if err != nil {
		return hcl.Diagnostics{unreadable(name, err)}
	}
	return s.parseText(name, text)
}

func (s *Source) parseText(name string, text []byte) hcl.Diagnostics {
	s.texts[name] = text
	if bad := notUTF8(name, text); bad != nil {
		return hcl.Diagnostics{bad}
	}
	parsed, diags := hclsyntax.ParseConfig(text, name, hcl.InitialPos)
	for _, d := range diags {
		addRemedy(d)
	}
	if parsed != nil {
		body := parsed.Body.(*hclsyntax.Body)
		replaceConditionals(body)
		s.files = append(s.files, &file{name, body})
	}
	return diags
}

// addRemedy completes the parser's messages about blocks on a single line, which newcomers meet first.
func addRemedy(d *hcl.Diagnostic) {
	oneLine := strings.Contains(d.Detail, "single-line block") ||
		d.Summary == "Invalid single-argument block definition"
	if oneLine {
		d.Summary = "More than one argument in a single-line block"
		d.Detail = "HCL allows one argument in a block that is written on a single line. Put each argument on its own line, " +
			"and the closing brace on a line of its own."
	}
}

func unreadable(path string, err error) *hcl.Diagnostic {
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Cannot read the pipeline"}
	var cause *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Summary = "No such file or folder"
		d.Detail = fmt.Sprintf("There is no %s.%s", path, didYouMeanFile(path))
	case errors.As(err, &cause):
		d.Detail = fmt.Sprintf("%s: %v.", path, cause.Err)
	default:
		d.Detail = fmt.Sprintf("%s: %v.", path, err)
	}
	return d
}

// didYouMeanFile looks for a pipeline of a similar name beside one that does not exist.
func didYouMeanFile(path string) string {
	dir, base := filepath.Split(path)
	siblings, _ := filepath.Glob(dir + "*.hcl") // the only error is a malformed pattern; then there is nothing to suggest
	names := make([]string, len(siblings))
	for i, s := range siblings {
		names[i] = filepath.Base(s)
	}
	if near := nearest(base, names); near != "" {
		return fmt.Sprintf(" Did you mean %q?", dir+near)
	}
	return ""
}

// notUTF8 reports the first byte of a text that is not UTF-8.
func notUTF8(name string, text []byte) *hcl.Diagnostic {
	if utf8.Valid(text) {
		return nil
	}
	pos := hcl.InitialPos
	for rest := text; ; {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size <= 1 {
			break
		}
		pos.Byte += size
		pos.Column++
		if r == '\n' {
			pos.Line++
			pos.Column = 1
		}
		rest = rest[size:]
	}
	end := hcl.Pos{Line: pos.Line, Column: pos.Column + 1, Byte: pos.Byte + 1}
	return Error(hcl.Range{Filename: name, Start: pos, End: end}, "The file is not UTF-8",
		fmt.Sprintf("Byte 0x%02x on line %d is not part of any UTF-8 character. Save the file in UTF-8.",
			text[pos.Byte], pos.Line))
}
