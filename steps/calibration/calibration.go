// Package calibration measures how fast a device would do a step's training before the step runs, so that a plan can say
// how long it will take on a machine where nothing has run yet. How it is measured is steps/internal/train's.
package calibration

import (
	"errors"
	"time"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/train"
)

// ErrNothing says that an estimate is not one of a training whose speed can be measured.
var ErrNothing = errors.New("nothing to measure: no training, or the shape of the model is not known")

// Speed measures at how many operations per second, counted as Estimate.FLOPs is, the device would train, in about limit.
func Speed(dev gpu.Device, e steps.Estimate, limit time.Duration) (float64, error) {
	c, ok := train.Architecture(e.Facts)
	if e.Training == nil || !ok {
		return 0, ErrNothing
	}
	return train.Speed(dev, c, e.Training, limit)
}
