package steps

import (
	"errors"
	"fmt"
)

// An AttributeError blames one attribute of the step's own block; the engine shows its source line.
type AttributeError struct {
	Path string // "optimizer.lr", "files[0].include"
	Err  error
}

func (e *AttributeError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *AttributeError) Unwrap() error { return e.Err }

// Blame returns an AttributeError with a formatted message.
func Blame(path, format string, args ...any) error {
	return &AttributeError{Path: path, Err: fmt.Errorf(format, args...)}
}

// Within moves an error's blame into the block at a path; an error that blames nothing blames the block.
func Within(path string, err error) error {
	if attr := (*AttributeError)(nil); errors.As(err, &attr) {
		return &AttributeError{Path: path + "." + attr.Path, Err: attr.Err}
	}
	return &AttributeError{Path: path, Err: err}
}

// An ImpossibleError is what an Estimate returns where the facts of what has been made above show that the step would fail:
// unlike its other errors, which only say that it cannot tell yet, it is shown before anything runs.
type ImpossibleError struct{ Err error }

func (e *ImpossibleError) Error() string { return e.Err.Error() }
func (e *ImpossibleError) Unwrap() error { return e.Err }

// A GateError says that the work is done but a condition of the recipe does not hold: the run ends with exit code 3
// and the last checkpoint is kept.
type GateError struct {
	Path    string // the attribute or block that states the condition
	Message string // both figures: what was wanted and what was reached
}

func (e *GateError) Error() string { return e.Message }
