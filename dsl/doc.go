// Package dsl is the recipe language: HCL text in, a [Program] out.
//
// It knows the language — variables, locals, steps, references, artifact kinds — and no step type and no engine. The
// step types come in as a list of [Type] values, each with a Go struct that says what its block may hold; results of
// steps come in as cty values; keys, caches and processes are somebody else's.
//
//	source, diags := dsl.Parse("pipelines/quickstart.hcl")
//	program, more := source.Load(dsl.Options{Types: types})
//	for _, step := range program.Steps {
//		instance, diags := step.Eval(known)   // known: the outputs of the steps that have run
//		…
//	}
//
// An output that no run has produced is a cty unknown of the right type, so every check that can be made before a run
// is made at Load.
//
// # Where to start
//
// [Source.Load] in load.go reads as the list of passes: declare the blocks, give the variables their values, expand
// for_each, look up every reference (refs.go), draw the edges and look for cycles, evaluate everything with unknown
// outputs. Evaluating a block is decode.go and the two files beside it: attributes that hold values, and attributes
// that hold artifacts. A scope (scope.go) provides the values that an expression refers to. The words of a struct's
// tags are in schema.go.
//
// Every error is an hcl.Diagnostic at a place in the text: a short summary without values, and a detail that names the
// value and the remedy. testdata/bad holds one recipe per mistake and what is printed about it.
package dsl
