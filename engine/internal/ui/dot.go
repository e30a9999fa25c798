package ui

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"athanor/engine/internal/plan"
)

// DOT writes the steps and their dependencies for Graphviz. The same pipeline always gives the same text.
func DOT(w io.Writer, p *plan.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "digraph %s {\n\trankdir=TB;\n\tnode [shape=box, style=rounded];\n", strconv.Quote(p.Program.Name))
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "\t%s;\n", strconv.Quote(s.Name()))
	}
	for _, s := range p.Steps {
		for _, need := range s.Needs {
			fmt.Fprintf(&b, "\t%s -> %s;\n", strconv.Quote(need.Name()), strconv.Quote(s.Name()))
		}
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}
