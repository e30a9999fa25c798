package preferences

import (
	"cmp"
	"slices"
)

// Which answers make pairs.
const all = "all"

// Why something gives no pair, beside what is wrong with an answer.
const (
	duplicate = "duplicate" // an earlier answer to the prompt has the same text
	single    = "single"    // the prompt has one answer, or answers of one source
	tie       = "tie"       // the two scores are equal
	narrow    = "margin"    // they differ by less than min_margin
	more      = "more"      // the prompt has max_pairs pairs with wider margins
)

// A pair is two answers to one prompt.
type pair struct {
	prompt           *prompt
	chosen, rejected *candidate
}

func (p *pair) margin() float64 { return p.chosen.score - p.rejected.score }

// pair makes the pairs of one prompt, the widest margin first, and counts what gives none.
func (p *pairing) pair(of *prompt) []pair {
	var pairs []pair
	for i := range of.answers {
		for j := range of.answers[:i] {
			a, b := &of.answers[j], &of.answers[i]
			if a.dropped || b.dropped || p.config.Across && a.source == b.source {
				continue
			}
			if a.score < b.score {
				a, b = b, a
			}
			pairs = append(pairs, pair{of, a, b})
		}
	}
	if len(pairs) == 0 {
		p.dropped[single]++
		return nil
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(b.margin(), a.margin()) })
	if p.config.Pairs != all {
		pairs = pairs[:1]
	}
	wide := 0
	for _, one := range pairs {
		switch m := one.margin(); {
		case m == 0:
			p.dropped[tie]++
		case m < p.config.MinMargin:
			p.dropped[narrow]++
		default:
			wide++
		}
	}
	pairs = pairs[:wide] // they are sorted
	if most := p.config.MaxPairs; most != nil && len(pairs) > *most {
		p.dropped[more] += float64(len(pairs) - *most)
		pairs = pairs[:*most]
	}
	return pairs
}
