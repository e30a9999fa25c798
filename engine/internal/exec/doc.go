// Package exec carries a plan out.
//
// [Run] starts every step whose needs are met, as many side by side as it may, and tells an observer what happens. One
// step goes through: resolve it with what is known now, lock its key, look the key up again, check its inputs' bytes,
// run it, store its outputs, record it, check its conditions.
//
// # The worker
//
// The work itself happens in a child process, `engine worker SPEC`, whose other side is [Work]. A crash, the kernel's
// out-of-memory killer or a device fault takes down one step and not the engine. The two talk over three pipes:
// the worker's standard output carries [steps.Event] as JSON lines; its standard error is the step's log; its standard
// input carries nothing, and its end says that the worker is to save a checkpoint and stop. That end also comes when
// the engine is killed, by the kernel's own doing. The worker inherits the lock of its key, so the next engine waits
// until the checkpoint is whole. It runs in a process group of its own: a terminal's Ctrl-C reaches the engine, which
// decides.
//
// What will run and why is package plan's; what is kept is package store's; how it looks is package ui's.
package exec
