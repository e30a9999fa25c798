// Command engine trains language models by recipe: one HCL file says everything, from raw text to an evaluated model.
//
//	engine init        writes a starter pipeline
//	engine plan FILE   says what would run, why, and what it would need
//	engine run FILE    runs it; run again to resume
//
// One file per subcommand. What they share is in app.go (errors and exit codes) and project.go (a pipeline with its
// state). The work is in internal/plan, internal/exec, internal/store and internal/journal; the language is in package
// dsl, and what a recipe can say is in the packages under steps.
//
// Build it with `go build -o bin/ ./engine` or run it with `go run ./engine`.
package main

import (
	"os"

	"athanor/steps/catalog"
)

func main() {
	os.Exit(newApp(catalog.Types).run(os.Args[1:]))
}
