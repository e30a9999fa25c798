package dsl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// listed is how many candidates a message spells out when none is near.
const listed = 12

// nearest is the candidate that was probably meant, or "".
func nearest(name string, candidates []string) string {
	best, least := "", 1+max(1, min(3, len(name)/2))
	for _, c := range candidates {
		d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(c), nil)
		if d < least && d < max(len(name), len(c)) { // something must be the same
			best, least = c, d
		}
	}
	return best
}

// didYouMean ends a message: with the candidate that was probably meant, or with all of them when they are few.
// The candidates are of the kind that what names in the plural: "step types".
func didYouMean(name string, candidates []string, what string) string {
	candidates = slices.Sorted(slices.Values(candidates))
	if near := nearest(name, candidates); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	switch {
	case len(candidates) == 0:
		return fmt.Sprintf(" There are no %s here.", what)
	case len(candidates) <= listed:
		return fmt.Sprintf(" The %s are: %s.", what, strings.Join(candidates, ", "))
	default:
		return fmt.Sprintf(" Some of the %s are: %s.", what, strings.Join(candidates[:listed], ", "))
	}
}

// withArticle puts "a" or "an" before a noun; plurals stay as they are.
func withArticle(noun string) string {
	switch {
	case strings.HasSuffix(noun, "s") && !strings.Contains(noun, " of "):
		return noun
	case strings.ContainsAny(noun[:1], "aeio"):
		return "an " + noun
	default:
		return "a " + noun
	}
}
