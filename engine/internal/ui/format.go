package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Count writes a number with three digits and a decimal prefix: 950, 1.23k, 45.6M, 7.80T.
func Count(v float64) string {
	a := math.Abs(v)
	if a < 1000 {
		if v == math.Trunc(v) {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
	for _, unit := range []struct {
		size   float64
		prefix string
	}{{1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if a >= unit.size*0.9995 || unit.size == 1e3 {
			return digits(v/unit.size) + unit.prefix
		}
	}
	return fmt.Sprint(v)
}

// FLOPs writes a number of floating-point operations; from 10^18 on as papers do, 3.80e25 FLOP.
func FLOPs(v float64) string {
	if v < 1e18 {
		return Count(v) + "FLOP"
	}
	return strings.Replace(strconv.FormatFloat(v, 'e', 2, 64), "e+", "e", 1) + " FLOP"
}

// Thousands writes a whole number with a comma after every third digit from the right.
func Thousands(v float64) string {
	text := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

func digits(v float64) string {
	switch a := math.Abs(v); {
	case a < 9.995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 99.95:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}

// Bytes writes a size with a binary prefix.
func Bytes(n int64) string {
	v := float64(n)
	for _, prefix := range []string{"B", "KiB", "MiB", "GiB", "TiB"} {
		if v < 1024 || prefix == "TiB" {
			if prefix == "B" {
				return fmt.Sprintf("%d B", n)
			}
			return fmt.Sprintf("%.1f %s", v, prefix)
		}
		v /= 1024
	}
	return ""
}

// Duration writes a time span: 0.4s, 12s, 3m20s, 2h05m, 3d4h.
func Duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Round(time.Second)
	switch {
	case seconds < 9.95:
		return fmt.Sprintf("%.1fs", seconds)
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// Figure writes a metric: whole numbers as they are, others with four significant digits.
func Figure(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Wrap breaks a text into indented lines of at most columns characters; 0 stands for 100. A text without words has none.
func Wrap(text, indent string, columns int) string {
	if columns <= 0 {
		columns = 100
	}
	var b strings.Builder
	used := 0
	for _, word := range strings.Fields(text) {
		switch n := width(word); {
		case used == 0:
			b.WriteString(indent)
			used = width(indent) + n
		case used+1+n > columns:
			b.WriteString("\n" + indent)
			used = width(indent) + n
		default:
			b.WriteByte(' ')
			used += 1 + n
		}
		b.WriteString(word)
	}
	if used > 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// Columns lays rows out in columns, two spaces apart, without trailing spaces.
func Columns(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], width(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			line.WriteString(cell)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-width(cell)+2))
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " "))
		b.WriteByte('\n')
	}
	return b.String()
}

// width counts what a terminal shows: not the color codes.
func width(s string) int {
	n, escaped := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escaped = true
		case escaped:
			escaped = r != 'm'
		default:
			n++
		}
	}
	return n
}
