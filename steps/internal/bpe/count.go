package bpe

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
)

// A wordCount is a word of the training text and how often it occurs.
type wordCount struct {
	text  string
	count int64
}

// A counter counts words. Words of up to 16 bytes lie in a hash table with their bytes as two integers; the few longer
// ones in a map.
type counter struct {
	slots []countSlot
	used  int
	long  map[string]*int64
	bytes [256]int64 // words of one byte
	total int64      // bytes of text
}

// A countSlot is 32 bytes: two to a cache line. An empty one has size 0.
type countSlot struct {
	lo, hi uint64
	count  int64
	size   uint8
}

func newCounter() *counter {
	return &counter{slots: make([]countSlot, 1<<16), long: map[string]*int64{}}
}

// text counts the words of one document.
func (c *counter) text(s string, r rule) {
	c.total += int64(len(s))
	switch r := r.(type) {
	case wordRule:
		for i := 0; i < len(s); {
			end := r.next(s, i)
			c.word(s, i, end)
			i = end
		}
	case gpt2Rule:
		for i := 0; i < len(s); {
			end := r.next(s, i)
			c.word(s, i, end)
			i = end
		}
	}
}

func (c *counter) word(s string, i, end int) {
	switch n := end - i; {
	case n == 1:
		c.bytes[s[i]]++
	case n <= shortKey:
		lo, hi := load(s, i, n)
		c.add(lo, hi, uint8(n), 1)
	default:
		c.addLong(s[i:end], 1)
	}
}

func (c *counter) addLong(word string, n int64) {
	if p := c.long[word]; p != nil {
		*p += n
		return
	}
	c.long[strings.Clone(word)] = &n
}

func (c *counter) add(lo, hi uint64, size uint8, n int64) {
	s := c.slot(lo, hi, size)
	if s.size == 0 {
		if c.used*2 >= len(c.slots) {
			c.double()
			s = c.slot(lo, hi, size)
		}
		s.lo, s.hi, s.size = lo, hi, size
		c.used++
	}
	s.count += n
}

func (c *counter) slot(lo, hi uint64, size uint8) *countSlot {
	mask := uint64(len(c.slots) - 1)
	for i := hashShort(lo, hi, int(size)); ; i++ {
		if s := &c.slots[i&mask]; s.lo == lo && s.hi == hi && s.size == size || s.size == 0 {
			return s
		}
	}
}

func (c *counter) double() {
	old := c.slots
	c.slots = make([]countSlot, 2*len(old))
	for _, s := range old {
		if s.size > 0 {
			*c.slot(s.lo, s.hi, s.size) = s
		}
	}
}

// join adds the counts of another counter.
func (c *counter) join(o *counter) {
	c.total += o.total
	for b, n := range o.bytes {
		c.bytes[b] += n
	}
	for _, s := range o.slots {
		if s.size > 0 {
			c.add(s.lo, s.hi, s.size, s.count)
		}
	}
	for word, n := range o.long {
		c.addLong(word, *n)
	}
}

// words lists what was counted, in the order of their bytes, so that nothing depends on how the text was shared out.
func (c *counter) words() []wordCount {
	list := make([]wordCount, 0, c.used+len(c.long)+256)
	for b, n := range c.bytes {
		if n > 0 {
			list = append(list, wordCount{string([]byte{byte(b)}), n})
		}
	}
	for _, s := range c.slots {
		if s.size > 0 {
			var b [16]byte
			for i := range 8 {
				b[i], b[8+i] = byte(s.lo>>(8*i)), byte(s.hi>>(8*i))
			}
			list = append(list, wordCount{string(b[:s.size]), s.count})
		}
	}
	for word, n := range c.long {
		list = append(list, wordCount{word, *n})
	}
	slices.SortFunc(list, func(a, b wordCount) int { return strings.Compare(a.text, b.text) })
	return list
}

// batchBytes is about how much text is handed to a counting goroutine at once.
const batchBytes = 1 << 20

// countWords reads all texts and counts their words on several goroutines.
func countWords(ctx context.Context, texts iter.Seq2[string, error], r rule, opt *TrainOptions) (*counter, error) {
	batches := make(chan []string, opt.Threads)
	counters := make([]*counter, opt.Threads)
	var wg sync.WaitGroup
	for i := range counters {
		counters[i] = newCounter()
		wg.Go(func() {
			for batch := range batches {
				for _, s := range batch {
					counters[i].text(s, r)
				}
			}
		})
	}
	err := feed(ctx, texts, batches, opt)
	close(batches)
	wg.Wait()
	if err != nil {
		return nil, err
	}
	for _, c := range counters[1:] {
		counters[0].join(c)
	}
	return counters[0], nil
}

// feed hands out the texts in batches.
func feed(ctx context.Context, texts iter.Seq2[string, error], batches chan<- []string, opt *TrainOptions) error {
	var batch []string
	var size, done int
	for s, err := range texts {
		if err != nil {
			return err
		}
		batch = append(batch, s)
		if size += len(s); size < batchBytes {
			continue
		}
		select {
		case batches <- batch:
		case <-ctx.Done():
			return ctx.Err()
		}
		done += size
		batch, size = nil, 0
		opt.progress(ReadingText, done)
	}
	batches <- batch
	return ctx.Err()
}
