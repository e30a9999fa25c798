package train

import (
	"fmt"
	"path"

	"athanor/steps/internal/llm"
)

// A Group is weights that are trained with settings of their own.
type Group struct {
	Match []string // patterns of names, as path.Match reads them: "model.layers.*.mlp.*"
	LR    float64  // multiplies the learning rate
	Decay *float64 // weight decay; nil: as for all others
}

// rates returns the factor of the learning rate and the weight decay of a tensor. The first group that matches counts.
func (a AdamW) rates(p *llm.Param) (lr, decay float64) {
	lr = 1
	if p.Decay {
		decay = a.WeightDecay
	}
	if i := a.group(p.Name); i >= 0 {
		lr = a.Groups[i].LR
		if a.Groups[i].Decay != nil {
			decay = *a.Groups[i].Decay
		}
	}
	if a.MuP != nil {
		lr *= a.MuP.LR(p)
		decay *= a.MuP.Decay(p)
	}
	return lr, decay
}

// group is the index of the first group that a name belongs to, or -1.
func (a AdamW) group(name string) int {
	for i, g := range a.Groups {
		for _, pattern := range g.Match {
			if ok, _ := path.Match(pattern, name); ok { // Unmatched finds patterns that are none
				return i
			}
		}
	}
	return -1
}

// Unmatched returns the index of the first group that holds none of the weights, and says why; -1 if there is none.
func (a AdamW) Unmatched(params []*llm.Param) (int, error) {
	for i, g := range a.Groups {
		for _, pattern := range g.Match {
			if _, err := path.Match(pattern, ""); err != nil {
				return i, fmt.Errorf("the pattern %q: %w", pattern, err)
			}
		}
		found := false
		for _, p := range params {
			found = found || a.group(p.Name) == i
		}
		if !found {
			return i, fmt.Errorf("no weight of the model matches %q, or an earlier group has them all: a name is like %s", g.Match, params[len(params)/2].Name)
		}
	}
	return -1, nil
}
