// Package ui is how the engine looks in a terminal: the table of a plan, the live lines of a run, numbers as people
// read them.
//
// On a terminal a run shows one line per running step, redrawn in place; elsewhere it prints plain lines, and few of
// them. Color is for terminals only, and NO_COLOR turns it off. [NewProgress] is the place to start. What is shown
// comes from packages plan and exec; errors are shown by package dsl, which has the source text.
package ui
