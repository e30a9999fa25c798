package dsl

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/mitchellh/go-wordwrap"
)

const (
	quotedLines = 6   // of the text at most, per place
	quotedWidth = 200 // characters of a line at most
)

// WriteDiagnostics writes diagnostics for people: sorted by position, without repetitions, each with the lines of the
// text that it speaks of. Width is that of the terminal in columns, 0 when there is none.
func (s *Source) WriteDiagnostics(w io.Writer, diags hcl.Diagnostics, width int, color bool) error {
	p := painter(color)
	for _, d := range sorted(diags) {
		var b strings.Builder
		severity := p.paint("1;31", "Error: ")
		if d.Severity == hcl.DiagWarning {
			severity = p.paint("1;33", "Warning: ")
		}
		fmt.Fprintf(&b, "%s%s\n\n", severity, p.paint("1", d.Summary))
		if d.Subject != nil {
			b.WriteString(s.place(*d.Subject, p))
		}
		if r, ok := d.Extra.(related); ok {
			fmt.Fprintf(&b, "  %s (%s line %d):\n", r.Label, r.Range.Filename, r.Range.Start.Line)
			b.WriteString(s.quote(r.Range, p))
			b.WriteByte('\n')
		}
		if d.Detail != "" {
			detail := d.Detail
			if width > 20 {
				detail = wordwrap.WrapString(detail, uint(width-1))
			}
			fmt.Fprintf(&b, "%s\n\n", detail)
		}
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

// place is the position of an error and the lines it lies on.
func (s *Source) place(r hcl.Range, p painter) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  on %s line %d", r.Filename, r.Start.Line)
	if header, ok := s.headerAt(r); ok && header.Start.Line != r.Start.Line {
		fmt.Fprintf(&b, ", in %s", bytes.TrimSpace(header.SliceBytes(s.texts[header.Filename])))
	}
	b.WriteString(":\n")
	b.WriteString(s.quote(r, p))
	b.WriteByte('\n')
	return b.String()
}

// quote is the lines of a range with their numbers, and marks under the range when it lies on one line.
func (s *Source) quote(r hcl.Range, p painter) string {
	text, ok := s.texts[r.Filename]
	if !ok {
		return ""
	}
	lines := strings.Split(strings.ToValidUTF8(string(text), "\uFFFD"), "\n")
	var b strings.Builder
	last := min(r.End.Line, r.Start.Line+quotedLines-1, len(lines))
	for n := max(r.Start.Line, 1); n <= last; n++ {
		line := strings.TrimSuffix(lines[n-1], "\r")
		fmt.Fprintf(&b, "%4d: %s\n", n, cropped(strings.ReplaceAll(line, "\t", " ")))
	}
	if r.Start.Line == r.End.Line && r.End.Column > r.Start.Column && r.Start.Column < quotedWidth {
		marks := strings.Repeat("^", min(r.End.Column, quotedWidth)-r.Start.Column)
		fmt.Fprintf(&b, "      %s%s\n", strings.Repeat(" ", r.Start.Column-1), p.paint("31", marks))
	}
	return b.String()
}

func cropped(line string) string {
	if utf8.RuneCountInString(line) <= quotedWidth {
		return line
	}
	return string([]rune(line)[:quotedWidth-1]) + "…"
}

// A painter colours text, or leaves it as it is.
type painter bool

func (p painter) paint(code, text string) string {
	if !p {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// A Position is a place in a file. Lines and columns count from 1, bytes from 0.
type Position struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

// A RangeJSON is a stretch of a file; the end is not part of it.
type RangeJSON struct {
	File  string   `json:"file"`
	Start Position `json:"start"`
	End   Position `json:"end"`
}

// A DiagnosticJSON is a diagnostic for programs.
type DiagnosticJSON struct {
	Severity string     `json:"severity"` // "error" or "warning"
	Summary  string     `json:"summary"`
	Detail   string     `json:"detail,omitempty"`
	Range    *RangeJSON `json:"range,omitempty"`
	Snippet  string     `json:"snippet,omitempty"`
	Related  *RangeJSON `json:"related,omitempty"`
}

// JSON is what WriteDiagnostics writes, in the same order, for --json.
func (s *Source) JSON(diags hcl.Diagnostics) []DiagnosticJSON {
	out := []DiagnosticJSON{}
	for _, d := range sorted(diags) {
		j := DiagnosticJSON{Severity: "error", Summary: d.Summary, Detail: d.Detail}
		if d.Severity == hcl.DiagWarning {
			j.Severity = "warning"
		}
		if d.Subject != nil {
			j.Range = rangeJSON(*d.Subject)
			j.Snippet = s.quote(*d.Subject, false)
		}
		if r, ok := d.Extra.(related); ok {
			j.Related = rangeJSON(r.Range)
		}
		out = append(out, j)
	}
	return out
}

func rangeJSON(r hcl.Range) *RangeJSON {
	return &RangeJSON{
		File:  r.Filename,
		Start: Position(r.Start),
		End:   Position(r.End),
	}
}
