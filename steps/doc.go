// Package steps is the contract between the engine and what a recipe can say.
//
// A [Type] is one word of the recipe language: its configuration struct says what may be written in the block, its
// outputs say what other blocks may refer to, its Run does the work. One package per step type lies below this one
// (steps/pretrain, steps/dataset …); steps/catalog lists them all.
//
// A step never sees HCL, the store or the terminal. The engine evaluates its block, puts everything that the work needs
// into a [Spec], and calls Run in a process of its own with a [Runtime]: the only door to the outside.
//
// Adding a step type is a new package with a Type value in it and one line in steps/catalog; see CONTRIBUTING.md.
package steps
