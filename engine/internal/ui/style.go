package ui

import (
	"io"
	"os"

	"golang.org/x/term"

	"athanor/engine/internal/journal"
	"athanor/engine/internal/plan"
)

// A Style knows what an output can show.
type Style struct {
	Color bool
	Live  bool // a terminal: lines may be redrawn
	Width int  // columns; 0 where lines have no end
	fd    int
}

// StyleOf looks at where w leads.
func StyleOf(w io.Writer) Style {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return Style{}
	}
	s := Style{Live: os.Getenv("TERM") != "dumb", fd: int(f.Fd())}
	s.Color = s.Live && os.Getenv("NO_COLOR") == ""
	s.Width = s.columns()
	return s
}

// columns is the terminal's width now: windows are resized.
func (s Style) columns() int {
	if w, _, err := term.GetSize(s.fd); err == nil && w > 0 {
		return w
	}
	return 80
}

const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s Style) paint(code, text string) string {
	if !s.Color || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s Style) action(a plan.Action) string {
	return s.paint(map[plan.Action]string{plan.Cached: dim, plan.Run: green, plan.Deferred: cyan, plan.Skipped: dim}[a], string(a))
}

func (s Style) state(st journal.State) string {
	return s.paint(map[journal.State]string{
		journal.Cached: dim, journal.Done: green, journal.Failed: red, journal.Skipped: yellow, journal.Interrupted: yellow,
	}[st], string(st))
}
