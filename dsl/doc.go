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
package dsl
