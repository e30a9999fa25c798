package bpe

import "context"

// A trainer holds the words as they are cut at the moment, the frequency of every pair of neighbours, and a heap of the
// pairs. A merge visits only the words where its pair was seen, and changes only the frequencies of the pairs that it
// makes and breaks.
//
// One peculiarity of Hugging Face's trainer is kept, for the merges to be equal: the frequency of a merged pair is not
// taken back. It matters where two pairs make the same token ("a"+"bc" and "ab"+"c"): what stands beside that token may
// enter the heap a second time, with the places that the second pair brought and the frequency of both.
type trainer struct {
	tokens []string // by id
	ids    map[string]int32
	merges []mergePair

	symbols []int32 // all words, one after the other
	words   []trainWord

	pairs map[uint64]int64 // frequency by packed pair
	heap  []trainPair
	seq   int
	left  neighbours // of the pair being merged
	right neighbours
}

// A trainWord is a word's place in symbols, which shrinks as its tokens grow, and its frequency in the text.
type trainWord struct {
	start int
	n     int32
	count int64
}

// A trainPair is an entry of the heap: a pair, its frequency when it was entered, and the words in which it was seen.
type trainPair struct {
	count int64
	pair  uint64
	seq   int // order of entry
	words []int32
}

// before is the order of the heap: frequent pairs first, then small ids.
func (a *trainPair) before(b *trainPair) bool {
	switch {
	case a.count != b.count:
		return a.count > b.count
	case a.pair != b.pair:
		return a.pair < b.pair
	}
	return a.seq < b.seq
}

// newTrainer cuts the words into bytes.
func newTrainer(words []wordCount) *trainer {
	t := &trainer{ids: map[string]int32{}, pairs: map[uint64]int64{}}
	var idOf [256]int32
	for id, b := range byteOrder {
		idOf[b] = int32(id)
		t.addToken(string([]byte{b}))
	}
	total := 0
	for _, w := range words {
		total += len(w.text)
	}
	t.symbols = make([]int32, 0, total)
	t.words = make([]trainWord, 0, len(words))
	for _, w := range words {
		if len(w.text) < 2 {
			continue
		}
		t.words = append(t.words, trainWord{start: len(t.symbols), n: int32(len(w.text)), count: w.count})
		for i := range len(w.text) {
			t.symbols = append(t.symbols, idOf[w.text[i]])
		}
	}
	return t
}

func (t *trainer) addToken(text string) int32 {
	if id, ok := t.ids[text]; ok {
		return id
	}
	id := int32(len(t.tokens))
	t.tokens = append(t.tokens, text)
	t.ids[text] = id
	return id
}

// run merges until there are size tokens or no pair is frequent enough.
func (t *trainer) run(ctx context.Context, size int, opt *TrainOptions) error {
	t.left, t.right = newNeighbours(size), newNeighbours(size)
	t.enterAll()
	for len(t.tokens) < size && len(t.heap) > 0 {
		top := t.pop()
		if now := t.pairs[top.pair]; now != top.count {
			top.count = now
			t.push(top)
			continue
		}
		if top.count < opt.MinFrequency {
			return nil
		}
		t.merge(top)
		if len(t.merges)%64 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			opt.progress(Merging, len(t.merges))
		}
	}
	return nil
}

// enterAll counts the pairs of all words and enters them into the heap.
func (t *trainer) enterAll() {
	const side = 256
	count := make([]int64, side*side)
	seen := make([]int32, side*side) // words with the pair
	last := make([]int32, side*side) // the last of them, from 1 on
	each := func(visit func(pair int, word int32, first bool)) {
		clear(last)
		for w, word := range t.words {
			s := t.symbols[word.start : word.start+int(word.n)]
			for i := 1; i < len(s); i++ {
				p := int(s[i-1])*side + int(s[i])
				visit(p, int32(w), last[p] != int32(w)+1)
				last[p] = int32(w) + 1
			}
		}
	}
	each(func(p int, w int32, first bool) {
		count[p] += t.words[w].count
		if first {
			seen[p]++
		}
	})
	lists := make([][]int32, side*side)
	for p, n := range seen {
		lists[p] = make([]int32, 0, n)
	}
	each(func(p int, w int32, first bool) {
		if first {
			lists[p] = append(lists[p], w)
		}
	})
	for p, n := range count {
		if n > 0 {
			pair := pack(int32(p/side), int32(p%side))
			t.pairs[pair] = n
			t.push(trainPair{count: n, pair: pair, words: lists[p]})
		}
	}
}

// merge makes one token of a pair in all the words of its entry.
func (t *trainer) merge(top trainPair) {
	a, b := int32(top.pair>>32), int32(uint32(top.pair))
	made := t.addToken(t.tokens[a] + t.tokens[b])
	t.merges = append(t.merges, mergePair{a, b})
	for _, w := range top.words {
		t.mergeWord(w, a, b, made)
	}
	for _, x := range t.left.touched {
		t.pairs[pack(x, a)] -= t.left.sum[x]
		t.pairs[pack(x, made)] += t.left.sum[x]
	}
	for _, y := range t.right.touched {
		t.pairs[pack(b, y)] -= t.right.sum[y]
		t.pairs[pack(made, y)] += t.right.sum[y]
	}
	left, right := t.left.lists(), t.right.lists()
	for i, x := range t.left.touched {
		// made beside made may have come from both sides: one entry.
		if x == made && t.right.sum[x] != 0 {
			t.right.join(right, made, left[i])
			continue
		}
		t.enter(pack(x, made), left[i])
	}
	for i, y := range t.right.touched {
		t.enter(pack(made, y), right[i])
	}
	t.left.reset()
	t.right.reset()
}

func (t *trainer) enter(pair uint64, words []int32) {
	if n := t.pairs[pair]; n > 0 {
		t.push(trainPair{count: n, pair: pair, words: words})
	}
}

// mergeWord replaces a, b by made in one word, from left to right, and notes what stands beside it.
func (t *trainer) mergeWord(w, a, b, made int32) {
	word := &t.words[w]
	s := t.symbols[word.start : word.start+int(word.n)]
	out := 0
	for i := 0; i < len(s); out++ {
		if s[i] != a || i+1 >= len(s) || s[i+1] != b {
			s[out] = s[i]
			i++
			continue
		}
		if out > 0 {
			t.left.add(s[out-1], word.count, w)
		}
		s[out] = made
		if i += 2; i < len(s) {
			t.right.add(s[i], word.count, w)
		}
	}
	word.n = int32(out)
}

func (t *trainer) push(e trainPair) {
	t.seq++
	e.seq = t.seq
	h := append(t.heap, e)
	i := len(h) - 1
	for i > 0 {
		p := (i - 1) / 4
		if h[p].before(&e) {
			break
		}
		h[i] = h[p]
		i = p
	}
	h[i] = e
	t.heap = h
}

func (t *trainer) pop() trainPair {
	h := t.heap
	top, e := h[0], h[len(h)-1]
	h[len(h)-1] = trainPair{}
	h = h[:len(h)-1]
	for i := 0; len(h) > 0; {
		best := 4*i + 1
		if best >= len(h) {
			h[i] = e
			break
		}
		for c := best + 1; c < min(4*i+5, len(h)); c++ {
			if h[c].before(&h[best]) {
				best = c
			}
		}
		if e.before(&h[best]) {
			h[i] = e
			break
		}
		h[i] = h[best]
		i = best
	}
	t.heap = h
	return top
}

// order returns the merges in order of precedence: where a pair was merged twice, the later one counts.
func (t *trainer) order() []mergePair {
	last := make(map[mergePair]int, len(t.merges))
	for i, m := range t.merges {
		last[m] = i
	}
	out := make([]mergePair, 0, len(last))
	for i, m := range t.merges {
		if last[m] == i {
			out = append(out, m)
		}
	}
	return out
}

// neighbours gathers what stands on one side of the pair being merged: for each token how often, and in which words.
type neighbours struct {
	sum     []int64 // by token
	seen    []int32 // by token: number of words
	last    []int32 // by token: the last of these words, from 1 on
	touched []int32 // the tokens
	places  []place
}

type place struct{ token, word int32 }

func newNeighbours(size int) neighbours {
	return neighbours{sum: make([]int64, size), seen: make([]int32, size), last: make([]int32, size)}
}

func (n *neighbours) add(token int32, count int64, word int32) {
	if n.last[token] == 0 {
		n.touched = append(n.touched, token)
	}
	n.sum[token] += count
	if n.last[token] != word+1 {
		n.last[token] = word + 1
		n.seen[token]++
		n.places = append(n.places, place{token, word})
	}
}

// lists returns the words of each touched token. They share one array.
func (n *neighbours) lists() [][]int32 {
	all := make([]int32, len(n.places))
	lists := make([][]int32, len(n.touched))
	at := int32(0)
	for i, token := range n.touched {
		size := n.seen[token]
		lists[i] = all[at : at : at+size]
		n.seen[token] = int32(i) // from here on: the place in lists
		at += size
	}
	for _, p := range n.places {
		i := n.seen[p.token]
		lists[i] = append(lists[i], p.word)
	}
	return lists
}

// join adds words to the list of a token.
func (n *neighbours) join(lists [][]int32, token int32, words []int32) {
	i := n.seen[token]
	lists[i] = append(lists[i], words...)
}

func (n *neighbours) reset() {
	for _, token := range n.touched {
		n.sum[token], n.seen[token], n.last[token] = 0, 0, 0
	}
	n.touched, n.places = n.touched[:0], n.places[:0]
}
