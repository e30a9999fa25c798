//go:build !unix

package program

import "os/exec"

// ownGroup leaves the program as it is: when the context ends it alone is killed.
func ownGroup(*exec.Cmd) {}

// guard does nothing.
func guard(int) (release func(), err error) { return func() {}, nil }
