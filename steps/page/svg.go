package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"strings"
)

// What a drawing on the page may be made of. Scripts, styles, references and foreign content are not in it: the page has
// the style sheet of all figures, and must load and run nothing.
var (
	drawn      = names("svg g path rect circle ellipse line polyline polygon text tspan title desc")
	attributes = names(`class viewBox width height x y x1 x2 y1 y2 cx cy r rx ry d points fill stroke stroke-width stroke-linejoin
		stroke-linecap stroke-dasharray opacity fill-opacity text-anchor font-family font-size font-weight transform role pointer-events`)
)

func names(list string) map[string]bool {
	m := map[string]bool{}
	for _, n := range strings.Fields(list) {
		m[n] = true
	}
	return m
}

// inline writes a drawing into a page, without what the page must not have. An error says that it is no drawing.
func inline(svg []byte) (string, error) {
	var b strings.Builder
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	skip, depth := 0, 0 // skip: how deep in an element that is left out
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			if depth != 0 || b.Len() == 0 {
				return "", errors.New("it holds no drawing")
			}
			return b.String(), nil
		}
		if err != nil {
			return "", err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if skip > 0 || !drawn[t.Name.Local] || (depth == 0) != (t.Name.Local == "svg") {
				skip++
				continue
			}
			depth++
			open(&b, t)
		case xml.EndElement:
			if skip > 0 {
				skip--
				continue
			}
			depth--
			fmt.Fprintf(&b, "</%s>", t.Name.Local)
		case xml.CharData:
			if skip == 0 && depth > 0 {
				b.WriteString(html.EscapeString(string(t)))
			}
		}
	}
}

func open(b *strings.Builder, t xml.StartElement) {
	fmt.Fprintf(b, "<%s", t.Name.Local)
	if t.Name.Local == "svg" {
		b.WriteString(` xmlns="http://www.w3.org/2000/svg"`)
	}
	for _, a := range t.Attr {
		if a.Name.Space == "" && attributes[a.Name.Local] && !strings.Contains(a.Value, "url(") {
			fmt.Fprintf(b, ` %s="%s"`, a.Name.Local, html.EscapeString(a.Value))
		}
	}
	b.WriteString(">")
}
