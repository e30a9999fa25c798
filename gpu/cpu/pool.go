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
// work a little while by spinning, as the next phase mostly follows within microseconds, and then asleep. Who wakes too
// late to find a tile is not waited for.
type pool struct {
	helpers []helper

	// The phase under way.
	work  phase
	count int64
	next  atomic.Int64 // the first tile that no worker has taken
}

// A helper is one goroutine of the pool.
type helper struct {
	state atomic.Int32
	wake  chan struct{} // gets a token whenever state leaves asleep
	_     [64]byte
}

// The states of a helper, and who may change them.
const (
	spinning int32 = iota // the pool, or the helper when it falls asleep
	asleep                // the pool
	called                // the helper, or the pool when there is no more to do
	working               // the helper
	ended                 // nobody
)

// spins is how often a helper looks for work before it sleeps: some 200 µs, twice what waking it takes.
const spins = 100_000

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
	helpers := p.helpers[:max(0, min(len(p.helpers), n-1))]
	p.work, p.count = work, int64(n)
	p.next.Store(0)
	for i := range helpers {
		helpers[i].become(called)
	}
	p.take(0)
	for i := range helpers {
		helpers[i].finish()
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
	for h.wait() {
		p.take(w)
		h.state.Store(spinning)
	}
}

// wait returns true when there is work, with the state working, and false when the pool is closed.
func (h *helper) wait() bool {
	for {
		for i := range spins {
			switch h.state.Load() {
			case called:
				if h.state.CompareAndSwap(called, working) {
					return true
				}
			case ended:
				return false
			}
			if i%64 == 63 {
				runtime.Gosched()
			}
		}
		if h.state.CompareAndSwap(spinning, asleep) {
			<-h.wake
		}
	}
}

// become gives the helper a new state, and wakes it if need be.
func (h *helper) become(state int32) {
	if h.state.Swap(state) == asleep {
		h.wake <- struct{}{}
	}
}

// finish returns when the helper has no tile, and calls off one that has not begun.
func (h *helper) finish() {
	if h.state.CompareAndSwap(called, spinning) {
		return
	}
	for i := 0; h.state.Load() == working; i++ {
		if i > 100 {
			runtime.Gosched()
		}
	}
}

// close ends all helpers, which must have no work.
func (p *pool) close() {
	for i := range p.helpers {
		p.helpers[i].become(ended)
	}
}
