package steps

import "time"

// An Event is one line of JSON from a working step to the engine.
type Event struct {
	Time time.Time `json:"time"`
	Kind EventKind `json:"kind"`

	Message string             `json:"message,omitempty"` // log, warn, failed
	Path    string             `json:"path,omitempty"`    // failed: the attribute to blame
	Done    float64            `json:"done,omitempty"`    // progress
	Total   float64            `json:"total,omitempty"`   // progress; 0 if not known
	Unit    string             `json:"unit,omitempty"`    // progress: "tokens", "documents"
	Rate    float64            `json:"rate,omitempty"`    // progress: units per second
	FLOPs   float64            `json:"flops,omitempty"`   // progress: operations done so far in this process
	OfPeak  float64            `json:"of_peak,omitempty"` // progress: what Rate comes to, as a share of Peak; products of bfloat16 can be above 1
	Step    int64              `json:"step,omitempty"`    // metric: the optimizer step
	Metrics map[string]float64 `json:"metrics,omitempty"` // metric, progress: figures worth showing
	Values  map[string]any     `json:"values,omitempty"`  // done: the value outputs
	Outputs map[string]string  `json:"outputs,omitempty"` // done: artifact outputs, name → folder
	Device  string             `json:"device,omitempty"`  // done: what the step has computed on; empty if on none
}

// An EventKind says what an Event reports.
type EventKind string

const (
	EventProgress   EventKind = "progress"
	EventMetric     EventKind = "metric"
	EventLog        EventKind = "log"
	EventWarn       EventKind = "warn"
	EventCheckpoint EventKind = "checkpoint"
	EventDone       EventKind = "done"
	EventFailed     EventKind = "failed"
	EventGate       EventKind = "gate"
	EventStopped    EventKind = "stopped" // the context ended; a checkpoint may have been saved
)
