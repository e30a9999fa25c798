package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"athanor/steps/catalog"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"engine": func() {
			os.Exit(newApp(append(testTypes, catalog.Types...)).run(os.Args[1:]))
		},
	})
}

// TestScripts runs testdata/script/*.txtar through the real command, worker processes included.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
	})
}
