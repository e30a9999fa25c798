package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// A stopwatch reads both clocks of a process: the one on the wall, and the time that its threads have been running, on
// which other load of the machine shows far less.
type stopwatch struct {
	wall time.Time
	cpu  int64
}

func start() (stopwatch, error) {
	cpu, err := cpuTime()
	return stopwatch{time.Now(), cpu}, err
}

// read returns the seconds since start by either clock.
func (s stopwatch) read() (wall, running float64, err error) {
	cpu, err := cpuTime()
	return time.Since(s.wall).Seconds(), float64(cpu-s.cpu) / 1e9, err
}

// cpuTime is how long all threads of this process have been running, in nanoseconds.
func cpuTime() (int64, error) {
	var t unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
	return t.Nano(), err
}
