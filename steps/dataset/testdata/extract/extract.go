// Command extract prints the files of a folder as documents, one JSON object a line: the smallest program source.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	names, err := filepath.Glob(filepath.Join(os.Args[1], "*.txt"))
	if err != nil || len(names) == 0 {
		fmt.Fprintln(os.Stderr, "extract: no text in", os.Args[1])
		os.Exit(3)
	}
	out := json.NewEncoder(os.Stdout)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			fmt.Fprintln(os.Stderr, "extract:", err)
			os.Exit(1)
		}
		if err := out.Encode(map[string]string{"text": string(data), "name": filepath.Base(name)}); err != nil {
			os.Exit(1)
		}
	}
}
