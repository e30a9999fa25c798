package dsl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// findCycles finds one cycle in every group of nodes that reach each other: the shortest through the node of the group
// that comes first. Edges lead to what a node depends on. Nodes that are not listed count as having no edges.
func findCycles[N comparable](nodes []N, edges func(N) []N) [][]N {
	c := &components[N]{edges: edges, index: map[N]int{}, low: map[N]int{}, onStack: map[N]bool{}}
	place := map[N]int{}
	for i, n := range nodes {
		place[n] = i
	}
	for _, n := range nodes {
		if c.index[n] == 0 {
			c.visit(n)
		}
	}
	var cycles [][]N
	for _, group := range c.groups {
		slices.SortFunc(group, func(a, b N) int { return place[a] - place[b] })
		if cycle := shortestCycle(group, edges); cycle != nil {
			cycles = append(cycles, cycle)
		}
	}
	slices.SortFunc(cycles, func(a, b []N) int { return place[a[0]] - place[b[0]] })
	return cycles
}

// components finds the strongly connected components (Tarjan 1972).
type components[N comparable] struct {
	edges   func(N) []N
	next    int
	index   map[N]int // order of the first visit, from 1
	low     map[N]int // the lowest index on the stack that a node reaches
	stack   []N
	onStack map[N]bool
	groups  [][]N
}

func (c *components[N]) visit(n N) {
	c.next++
	c.index[n], c.low[n] = c.next, c.next
	c.stack = append(c.stack, n)
	c.onStack[n] = true
	for _, m := range c.edges(n) {
		if c.index[m] == 0 {
			c.visit(m)
			c.low[n] = min(c.low[n], c.low[m])
		} else if c.onStack[m] {
			c.low[n] = min(c.low[n], c.index[m])
		}
	}
	if c.low[n] != c.index[n] {
		return
	}
	var group []N
	for {
		m := c.stack[len(c.stack)-1]
		c.stack = c.stack[:len(c.stack)-1]
		c.onStack[m] = false
		group = append(group, m)
		if m == n {
			break
		}
	}
	c.groups = append(c.groups, group)
}

// shortestCycle is the shortest way from the first node of a group back to itself; nil when there is none.
func shortestCycle[N comparable](group []N, edges func(N) []N) []N {
	start := group[0]
	inside := map[N]bool{}
	for _, n := range group {
		inside[n] = true
	}
	from := map[N]N{}
	for queue := []N{start}; len(queue) > 0; queue = queue[1:] {
		n := queue[0]
		for _, m := range edges(n) {
			if m == start {
				cycle := []N{n}
				for cycle[len(cycle)-1] != start {
					cycle = append(cycle, from[cycle[len(cycle)-1]])
				}
				slices.Reverse(cycle)
				return cycle
			}
			if _, seen := from[m]; !seen && inside[m] {
				from[m] = n
				queue = append(queue, m)
			}
		}
	}
	return nil
}

// cycles reports steps that depend on themselves, every member with its line.
func (p *Program) cycles() hcl.Diagnostics {
	nodes := make([]Address, len(p.Steps))
	for i, s := range p.Steps {
		nodes[i] = s.Address
	}
	var diags hcl.Diagnostics
	for _, cycle := range findCycles(nodes, func(a Address) []Address { return p.steps[a].Needs }) {
		first := p.steps[cycle[0]]
		if len(cycle) == 1 {
			diags = append(diags, Error(p.reference(first, cycle[0]), "A step refers to itself", fmt.Sprintf(
				"%s cannot depend on its own outputs, which are known only when it is done. They may be used in its require blocks and in other steps.",
				first.Address)))
			continue
		}
		var members []string
		for _, a := range cycle {
			members = append(members, fmt.Sprintf("%s (%s)", a, lineOf(p.steps[a].Range)))
		}
		diags = append(diags, Error(p.reference(first, cycle[1]), "Cycle among steps", fmt.Sprintf(
			"Each of these waits for the next: %s → %s. Break the circle at one of them.", strings.Join(members, " → "), cycle[0])))
	}
	return diags
}

// reference is where a step refers to another; its header when that is not a single place.
func (p *Program) reference(s *Step, to Address) hcl.Range {
	for _, r := range slices.Concat(s.block.whenRefs, s.block.refs, s.block.depends, s.block.require) {
		if slices.Contains(p.instances(r, s.each), to) {
			return r.where
		}
	}
	return s.Range
}
