package cpu

import (
	"runtime"
	"sync/atomic"
)

// A phase is a fixed number of tiles that may run in any order and at the same time.
type phase interface {
	// tile does tile i with the scratch memory of worker w.
	tile(i, w int)
}

// A pool runs phases on its workers, of which the caller of run is number 0. The others are goroutines that wait for
// work a little while by spinning, as the next phase mostly follows within microseconds, and then asleep.
type pool struct {
	helpers []helper

	// The phase under way.
	work  phase
	count int64
	next  atomic.Int64 // the first tile that no worker has taken
	busy  atomic.Int64 // helpers that are not done
}

// A helper is one goroutine of the pool.
type helper struct {
	state atomic.Int32
	wake  chan struct{}
	_     [64]byte
}

// The states of a helper.
const (
	spinning int32 = iota
	asleep
	called
	ended
)

// spins is how often a helper looks for work before it sleeps: some 20 µs.
const spins = 10_000

func newPool(workers int) *pool {
	p := &pool{helpers: make([]helper, workers-1)}
	for i := range p.helpers {
		p.helpers[i].wake = make(chan struct{}, 1)
		go p.help(&p.helpers[i], i+1)
	}
	return p
}

// run does all n tiles of work and returns when they are done.
func (p *pool) run(n int, work phase) {
	helpers := min(len(p.helpers), n-1)
	if helpers <= 0 {
		for i := range n {
			work.tile(i, 0)
		}
		return
	}
	p.work, p.count = work, int64(n)
	p.next.Store(0)
	p.busy.Store(int64(helpers))
	for i := range helpers {
		p.helpers[i].call(called)
	}
	p.take(0)
	for i := 0; p.busy.Load() > 0; i++ {
		if i > 100 {
			runtime.Gosched()
		}
	}
	p.work = nil
}

// take does tiles until none is left.
func (p *pool) take(w int) {
	for {
		i := p.next.Add(1) - 1
		if i >= p.count {
			return
		}
		p.work.tile(int(i), w)
	}
}

// help is the life of one helper.
func (p *pool) help(h *helper, w int) {
	for h.wait() != ended {
		h.state.Store(spinning)
		p.take(w)
		p.busy.Add(-1)
	}
}

// wait returns the state that the helper is called with.
func (h *helper) wait() int32 {
	for i := range spins {
		if s := h.state.Load(); s != spinning {
			return s
		}
		if i%64 == 63 {
			runtime.Gosched()
		}
	}
	if h.state.CompareAndSwap(spinning, asleep) {
		<-h.wake
	}
	return h.state.Load()
}

// call hands the helper a new state, and wakes it if need be.
func (h *helper) call(state int32) {
	if h.state.Swap(state) == asleep {
		h.wake <- struct{}{}
	}
}

// close ends all helpers, which must have no work.
func (p *pool) close() {
	for i := range p.helpers {
		p.helpers[i].call(ended)
	}
}
