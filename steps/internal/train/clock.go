package train

import "time"

// A clock measures the speed of training for people to look at. Nothing that it says enters a result.
type clock struct {
	first    int64 // tokens consumed before this process
	last     time.Time
	tokens   int64 // at last
	rate     float64
	reported time.Time
}

// reportEvery is the time between two progress reports.
const reportEvery = 250 * time.Millisecond

func (c *clock) start(tokens int64) {
	*c = clock{first: tokens, tokens: tokens, last: time.Now()}
}

// tick says how fast training has been lately, in tokens per second: a moving mean over about ten steps.
func (c *clock) tick(tokens int64) float64 {
	now := time.Now()
	rate := float64(tokens-c.tokens) / max(now.Sub(c.last).Seconds(), 1e-9)
	if c.rate == 0 {
		c.rate = rate
	}
	c.rate += (rate - c.rate) / 10
	c.last, c.tokens = now, tokens
	return c.rate
}

// skip leaves the time since the last tick out: it was not spent on training.
func (c *clock) skip() { c.last = time.Now() }

// report says whether it is time for a progress report.
func (c *clock) report(must bool) bool {
	now := time.Now()
	if !must && now.Sub(c.reported) < reportEvery {
		return false
	}
	c.reported = now
	return true
}
