package gputest

import "fmt"

func embedTrials() []trial {
	var all []trial
	for _, c := range []struct{ vocab, width, tokens int }{
		{1, 1, 1}, {3, 17, 33}, {257, 129, 65}, {1000, 64, 300}, {5, 384, 257},
	} {
		all = append(all, trial{name: fmt.Sprintf("V%d,D%d,N%d", c.vocab, c.width, c.tokens), run: func(f *fixture) {
			s := f.stream(c.vocab, c.tokens)
			table, out := f.in(c.vocab, c.width), f.out(c.tokens, c.width)
			f.Embed(out, table, s)
			f.result("out", out)

			dTable := f.grad(c.vocab, c.width)
			f.EmbedBackward(dTable, f.in(c.tokens, c.width), s)
			f.result("dTable", dTable)
		}})
	}
	return all
}
