package cpu

import (
	"testing"
	"time"
)

// countPhase counts how often each tile is done.
type countPhase []int

func (p countPhase) tile(i, _ int) { p[i]++ }

// TestPoolDoesEachTileOnce runs phases of all sizes, back to back and after the helpers have fallen asleep.
func TestPoolDoesEachTileOnce(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		p := newPool(workers)
		for round := range 2000 {
			counts := make(countPhase, round%23)
			p.run(len(counts), counts)
			for i, n := range counts {
				if n != 1 {
					t.Fatalf("%d workers, round %d: tile %d of %d was done %d times", workers, round, i, len(counts), n)
				}
			}
			if round%500 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		p.close()
	}
}
