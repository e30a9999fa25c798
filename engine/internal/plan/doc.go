// Package plan says what a run will do, and why, before anything runs.
//
// [Make] takes a loaded program through a list of passes — match, select, order, resolve, estimate — and returns a
// [Plan]: every step with its action (cached, run, deferred, skipped), the reason, what it waits for and what it will
// need. The [Predictor] behind the resolve pass is the one that the run uses too, each time a step has finished, so a
// plan and the run that follows it cannot disagree.
//
// # The key
//
// A step's key is the SHA-256 of its [Material]: the step type and its version, the evaluated configuration with every
// artifact by its content, the seed, and the content of the outside files that it reads. It holds no names, no paths,
// no comments, no device and no number of threads. Two consequences carry the engine. A key that the store knows needs
// no work, whoever did that work and whatever the step was called then. And since inputs count by content, a step that
// ran again and made the same bytes cuts off everything below it: that is why a step below one that will run is
// "deferred" and not "run". The price is that the plan cannot promise those; the run decides them as soon as it can.
//
// The package runs nothing and writes nothing. Running is package exec's, keeping is package store's.
package plan
