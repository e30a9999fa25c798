package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"athanor/gpu"
	"athanor/gpu/cpu"
)

// A contest is one piece of work that several entrants do in turn, round by round.
type contest struct {
	part, name string
	threads    int
	unit       string  // of speed
	work       float64 // units of one call
	seconds    float64 // how long a sample should take at least
	limit      meter   // nil: nothing to compare with
	clock      string  // "wall" or "cpu"
	entrants   []*entrant
}

// An entrant is one player with its job. The first of a contest is Athanor in float32; others may be Athanor too.
type entrant struct {
	name     string
	own      bool // Athanor
	player   *player
	job      request
	tolerate float64 // relative difference of check figures from the first entrant's

	peak    bool   // its player's memory is of interest
	skipped string // why it does not take part
	calls   int
	warm    int
	speeds  []float64 // of each round, in the contest's unit
	shares  []float64 // of the limit beside it
}

// A meter makes the machine do as much as it can for some milliseconds and says how much that was, in units of a contest.
type meter func() (units float64)

// settle is the pause before each sample. Libraries keep their threads spinning for some milliseconds after a call.
const settle = 50 * time.Millisecond

// run measures the contest.
func (c *contest) run(rounds int, progress func(string)) error {
	progress(fmt.Sprintf("%s %s, threads=%d", c.part, c.name, c.threads))
	if err := c.prepare(); err != nil {
		return err
	}
	for round := range rounds {
		limit, err := c.measureLimit()
		if err != nil {
			return err
		}
		for i := range c.entrants {
			e := c.entrants[(i+round)%len(c.entrants)] // nobody is always first
			if e.skipped != "" {
				continue
			}
			time.Sleep(settle)
			seconds, err := e.sample(c.clock)
			if err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			after, err := c.measureLimit()
			if err != nil {
				return err
			}
			speed := c.work / seconds
			e.speeds = append(e.speeds, speed)
			e.shares = append(e.shares, speed/((limit+after)/2))
			limit = after
		}
	}
	return nil
}

// measureLimit is the limit in units per second, NaN if there is none.
func (c *contest) measureLimit() (float64, error) {
	if c.limit == nil {
		return math.NaN(), nil
	}
	time.Sleep(settle)
	watch, err := start()
	if err != nil {
		return 0, err
	}
	units := c.limit()
	wall, running, err := watch.read()
	if c.clock == "cpu" {
		wall = running
	}
	return units / wall, err
}

// prepare makes every player ready, compares what they compute and decides how many calls are a sample.
func (c *contest) prepare() error {
	var first []float64
	for i, e := range c.entrants {
		job := e.job
		job.Do = "prepare"
		back, err := e.player.ask(job)
		switch {
		case i > 0 && errors.Is(err, errJob):
			e.skipped = err.Error()
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", e.name, err)
		}
		if first == nil {
			first = back.Check
		}
		if err := agree(first, back.Check, e.tolerate); err != nil {
			return fmt.Errorf("%s, %s: %s does not compute what %s computes: %w", c.part, c.name, e.name, c.entrants[0].name, err)
		}
		e.calls = 1
		seconds, err := e.sample(c.clock)
		if err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
		e.calls = int(max(1, math.Ceil(c.seconds/seconds)))
		if seconds < 0.1 {
			e.warm = 1
		}
	}
	return nil
}

// agree compares check figures.
func agree(want, got []float64, tolerance float64) error {
	if len(want) != len(got) {
		return fmt.Errorf("%v and %v", want, got)
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tolerance*math.Abs(want[i])) {
			return fmt.Errorf("%v and %v differ by more than %g", want, got, tolerance)
		}
	}
	return nil
}

// sample returns the seconds of one call.
func (e *entrant) sample(clock string) (float64, error) {
	back, err := e.player.ask(request{Do: "run", Warm: e.warm, Calls: e.calls})
	if clock == "cpu" {
		back.Seconds = back.CPUSeconds
	}
	return back.Seconds / float64(e.calls), err
}

// A Result is what a contest came to.
type Result struct {
	Part      string  `json:"part"`
	Name      string  `json:"name"`
	Precision string  `json:"precision,omitempty"` // of Athanor, if not float32
	Threads   int     `json:"threads"`
	Unit      string  `json:"unit"`
	Entries   []Entry `json:"entries"` // the first is Athanor
}

// An Entry is one entrant of a contest.
type Entry struct {
	Name      string  `json:"name"`
	Skipped   string  `json:"skipped,omitempty"`
	Speed     *Spread `json:"speed,omitempty"`
	Share     *Spread `json:"share,omitempty"`      // of the machine's limit beside each sample
	Ratio     *Spread `json:"ratio,omitempty"`      // speed of the first entry over this one's, within each round
	PeakBytes int64   `json:"peak_bytes,omitempty"` // resident memory of a process that does nothing else
}

// A Spread is the median of the rounds, and their least and greatest.
type Spread struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

func spread(values []float64) *Spread {
	if len(values) == 0 || math.IsNaN(values[0]) {
		return nil
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return &Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Low: sorted[0], High: sorted[n-1]}
}

// results has one result for each entrant that is Athanor, with all those that are not.
func (c *contest) results() (list []Result) {
	for _, own := range c.entrants {
		if !own.own || own.skipped != "" {
			continue
		}
		r := Result{Part: c.part, Name: c.name, Threads: c.threads, Unit: c.unit, Entries: []Entry{own.entry(nil)}}
		if own.job.Precision != float32Name {
			r.Precision = own.job.Precision
		}
		for _, e := range c.entrants {
			if !e.own {
				r.Entries = append(r.Entries, e.entry(own))
			}
		}
		list = append(list, r)
	}
	return list
}

// entry is what an entrant came to, beside another.
func (e *entrant) entry(beside *entrant) Entry {
	entry := Entry{Name: e.name, Skipped: e.skipped, Speed: spread(e.speeds), Share: spread(e.shares)}
	if beside != nil && e.skipped == "" {
		ratios := make([]float64, len(e.speeds))
		for round := range ratios {
			ratios[round] = beside.speeds[round] / e.speeds[round]
		}
		entry.Ratio = spread(ratios)
	}
	if e.peak {
		entry.PeakBytes = e.player.peakMemory()
	}
	return entry
}

// arithmetic is the FMA probe: operations within registers, perUnit of which are one unit of a contest.
func arithmetic(dev gpu.Device, perUnit float64) meter {
	const rounds = 10_000_000 // some 30 ms: a thread that slept takes a few to be where it should
	return func() float64 { return cpu.Probe(dev, rounds) / perUnit }
}

// copying is the copy probe: bytes read plus bytes written by as many goroutines as there are threads, far outside of
// any cache.
func copying(threads int, perUnit float64) meter {
	const size = 64 << 20
	src, dst := make([][]byte, threads), make([][]byte, threads)
	for i := range threads {
		src[i], dst[i] = bytes.Repeat([]byte{1}, size), bytes.Repeat([]byte{2}, size) // both in memory of their own
	}
	return func() float64 {
		var wait sync.WaitGroup
		for i := range threads {
			wait.Go(func() { copy(dst[i], src[i]) })
		}
		wait.Wait()
		return 2 * size * float64(threads) / perUnit
	}
}
