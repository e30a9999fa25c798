package tokens

import (
	"math/bits"
	"math/rand/v2"
)

// shuffle puts the pieces of part i in the order of its current epoch, which only the seed, the part's place in the
// mixture and the epoch decide (Fisher–Yates).
func (l *Loader) shuffle(i int) {
	p := &l.parts[i]
	for k := range p.order {
		p.order[k] = uint32(k)
	}
	// rand.Rand is not used: only the sources, not its methods, promise the same numbers in every release of Go.
	source := rand.NewPCG(l.seed, uint64(i)<<32|uint64(uint32(p.epoch)))
	for k := len(p.order) - 1; k > 0; k-- {
		high, _ := bits.Mul64(source.Uint64(), uint64(k+1))
		p.order[k], p.order[high] = p.order[high], p.order[k]
	}
}
