package plan

import (
	"container/heap"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
	"github.com/dominikbraun/graph"
	"github.com/hashicorp/hcl/v2"

	"athanor/dsl"
	"athanor/steps"
)

// An ArgumentError is a mistake on the command line.
type ArgumentError struct{ Message string }

func (e *ArgumentError) Error() string { return e.Message }

// match pairs the program's steps with their step types.
func (p *Plan) match() (hcl.Diagnostics, error) {
	types := make(map[string]*steps.Type, len(p.options.Types))
	for i := range p.options.Types {
		types[p.options.Types[i].Name] = &p.options.Types[i]
	}
	for _, ps := range p.Program.Steps {
		s := &Step{Address: ps.Address, Program: ps, Type: types[ps.Address.Type]}
		if s.Type == nil {
			return nil, fmt.Errorf("%s: the language knows a step type that the catalog does not", ps.Address)
		}
		p.Steps = append(p.Steps, s)
		p.byName[s.Name()] = s
	}
	for _, s := range p.Steps {
		for _, need := range s.Program.Needs {
			// A reference to a block with for_each may stand for all of its instances.
			upstream, err := p.find(need.String())
			if err != nil {
				return nil, fmt.Errorf("%s depends on %s, which is not in the program", s.Name(), need)
			}
			s.Needs = append(s.Needs, upstream...)
		}
	}
	return nil, nil
}

// find returns the step of an address, or every instance of a block with for_each.
func (p *Plan) find(name string) ([]*Step, error) {
	if s := p.byName[name]; s != nil {
		return []*Step{s}, nil
	}
	var found []*Step
	for _, s := range p.Steps {
		if s.Address.Keyed && s.Address.Type+"."+s.Address.Name == name {
			found = append(found, s)
		}
	}
	if len(found) == 0 {
		return nil, &ArgumentError{p.unknown(name)}
	}
	return found, nil
}

func (p *Plan) unknown(name string) string {
	best, score := "", 0.6 // below this a suggestion confuses more than it helps
	for _, s := range p.Steps {
		if got := levenshtein.Similarity(name, s.Name(), nil); got > score {
			best, score = s.Name(), got
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the pipeline has no step %s.", name)
	if best != "" {
		fmt.Fprintf(&b, " Did you mean %s?", best)
	}
	return b.String()
}

// Find returns the step of an address that the user has typed, or every instance of a block with for_each.
func (p *Plan) Find(name string) ([]*Step, error) {
	if a, err := dsl.ParseAddress(name); err == nil { // the key may stand without quotes
		name = a.String()
	}
	return p.find(name)
}

// selectTargets keeps the targets and all that they depend on, and marks what is forced.
func (p *Plan) selectTargets() (hcl.Diagnostics, error) {
	for _, name := range p.options.Force {
		if child, parent := p.childOf(name); parent != nil {
			p.Predictor.force[child] = forced
			p.wanted[child] = parent
			continue
		}
		found, err := p.Find(name)
		if err != nil {
			return nil, fmt.Errorf("--force: %w", err)
		}
		for _, s := range found {
			p.Predictor.force[s.Name()] = forced
		}
	}
	if len(p.options.Targets) == 0 {
		return nil, nil
	}
	var stack []*Step
	for _, name := range p.options.Targets {
		if child, parent := p.childOf(name); parent != nil { // narrow drops the parent again
			p.wanted[child] = parent
			stack = append(stack, parent)
			continue
		}
		found, err := p.Find(name)
		if err != nil {
			return nil, fmt.Errorf("--target: %w", err)
		}
		stack = append(stack, found...)
	}
	p.keep(stack)
	return nil, nil
}

// keep drops all steps but some and what they depend on.
func (p *Plan) keep(some []*Step) {
	keep := map[*Step]bool{}
	for len(some) > 0 {
		s := some[len(some)-1]
		some = some[:len(some)-1]
		if !keep[s] {
			keep[s] = true
			some = append(some, s.Needs...)
		}
	}
	var kept []*Step
	for _, s := range p.Steps {
		if keep[s] {
			kept = append(kept, s)
		} else {
			delete(p.byName, s.Name())
		}
	}
	p.Steps = kept
}

// childOf reads an address that can only be that of a child of a composite step, whose children may not be known yet.
func (p *Plan) childOf(name string) (child string, parent *Step) {
	a, err := dsl.ParseAddress(name)
	if err != nil || p.byName[a.String()] != nil {
		return "", nil
	}
	up := dsl.Address{Type: a.Type, Name: a.Name}
	if a.Child != "" {
		up.Key, up.Keyed = a.Key, true
	}
	if s := p.byName[up.String()]; a.Keyed && s != nil && s.Type.Expand != nil {
		return a.String(), s
	}
	return "", nil
}

// narrow keeps only those children that are targets, if some are, and makes sure that all children exist that the
// command line names.
func (p *Plan) narrow() (hcl.Diagnostics, error) {
	for name, parent := range p.wanted {
		switch {
		case p.byName[name] != nil, p.byName[parent.Name()] == nil: // it is there, or no target needs it
		case !parent.Expanded:
			return nil, &ArgumentError{fmt.Sprintf("whether there is a step %s is not known before what %s depends on has run.", name, parent.Name())}
		default:
			return nil, &ArgumentError{p.unknown(name)}
		}
	}
	var targets []*Step
	children := false
	for _, name := range p.options.Targets {
		found, err := p.Find(name)
		if err != nil {
			return nil, fmt.Errorf("--target: %w", err)
		}
		targets = append(targets, found...)
		children = children || found[0].Parent != nil
	}
	if children {
		p.keep(targets)
	}
	return nil, nil
}

// expandAll expands the composite steps as far as that needs no state.
func (p *Plan) expandAll() (hcl.Diagnostics, error) {
	for _, s := range slices.Clone(p.Steps) {
		if s.Type.Expand == nil {
			continue
		}
		instance, diags := s.Program.Eval(p.Predictor.known)
		if s.Instance = instance; diags.HasErrors() || instance.When.IsKnown() && instance.When.False() {
			continue
		}
		if _, err := p.Predictor.expand(s); err != nil { // what is wrong with the recipe does not keep it from being drawn
			return nil, err
		}
	}
	return nil, nil
}

// Graph returns the dependencies between the steps, with an edge from each step to those that need it.
func (p *Plan) Graph() (graph.Graph[string, string], error) {
	g := graph.New(graph.StringHash, graph.Directed())
	for _, s := range p.Steps {
		if err := g.AddVertex(s.Name()); err != nil {
			return nil, err
		}
	}
	for _, s := range p.Steps {
		for _, need := range s.Needs {
			err := g.AddEdge(need.Name(), s.Name())
			if err != nil && !errors.Is(err, graph.ErrEdgeAlreadyExists) {
				return nil, fmt.Errorf("%s → %s: %w", need.Name(), s.Name(), err)
			}
		}
	}
	return g, nil
}

// order puts every step after all that it depends on, and otherwise keeps the order of declaration. The library's own
// topological sort is quadratic, so the predecessors are taken once and a queue does the rest.
func (p *Plan) order() (hcl.Diagnostics, error) {
	g, err := p.Graph()
	if err != nil {
		return nil, err
	}
	before, err := g.PredecessorMap()
	if err != nil {
		return nil, err
	}
	waits := make(map[string]int, len(p.Steps))
	after := make(map[string][]int, len(p.Steps))
	var ready intHeap
	for i, s := range p.Steps {
		waits[s.Name()] = len(before[s.Name()])
		for name := range before[s.Name()] {
			after[name] = append(after[name], i)
		}
		if waits[s.Name()] == 0 {
			ready = append(ready, i) // ascending: already a heap
		}
	}
	ordered := make([]*Step, 0, len(p.Steps))
	for len(ready) > 0 {
		s := p.Steps[heap.Pop(&ready).(int)]
		ordered = append(ordered, s)
		for _, i := range after[s.Name()] {
			name := p.Steps[i].Name()
			if waits[name]--; waits[name] == 0 {
				heap.Push(&ready, i)
			}
		}
	}
	if len(ordered) != len(p.Steps) {
		return nil, errors.New("the steps depend on each other in a circle") // the language has refused it already
	}
	p.Steps = ordered
	return nil, nil
}

// intHeap is a heap of places in the order of declaration.
type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
