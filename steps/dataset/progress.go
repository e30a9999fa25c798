package dataset

import (
	"os"
	"sync/atomic"
	"time"

	"athanor/steps"
)

// A progress reports how far the reading is: in bytes where all sources are files, else in documents.
type progress struct {
	rt    *steps.Runtime
	read  *atomic.Int64
	total int64 // bytes of files; 0 if a program is among the sources
	began time.Time
	last  time.Time
}

func newProgress(rt *steps.Runtime, sources []*source, read *atomic.Int64) *progress {
	p := &progress{rt: rt, read: read, began: time.Now()}
	for _, src := range sources {
		if src.kind == programOutput {
			p.total = 0
			break
		}
		for _, file := range src.files {
			if info, err := os.Stat(file); err == nil {
				p.total += info.Size()
			}
		}
	}
	return p
}

func (p *progress) report(documents int64) {
	now := time.Now()
	if now.Sub(p.last) < 100*time.Millisecond {
		return
	}
	p.last = now
	e := steps.Event{Done: float64(documents), Unit: "documents", Metrics: map[string]float64{"documents": float64(documents)}}
	if p.total > 0 {
		e.Done, e.Total, e.Unit = float64(p.read.Load()), float64(p.total), "bytes"
	}
	if seconds := now.Sub(p.began).Seconds(); seconds > 0 {
		e.Rate = e.Done / seconds
	}
	p.rt.Progress(e)
}

// second reports how far the second way through the documents is.
func (p *progress) second(done, total int64) {
	if now := time.Now(); now.Sub(p.last) >= 100*time.Millisecond {
		p.last = now
		p.rt.Progress(steps.Event{Done: float64(done), Total: float64(total), Unit: "documents"})
	}
}

// log notes how fast the sources were read and screened.
func (p *progress) log(read int64) {
	seconds := time.Since(p.began).Seconds()
	p.rt.Log("%.1f MB of files read and filtered in %.1f s: %.1f MB/s", float64(read)/1e6, seconds, float64(read)/1e6/max(seconds, 1e-9))
}
