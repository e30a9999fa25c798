package main

import "go/format"

// gofmt formats Go source that this program wrote.
func gofmt(source string) string {
	text, err := format.Source([]byte(source))
	if err != nil {
		panic(err)
	}
	return string(text)
}
