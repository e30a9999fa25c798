package llm

import "math"

// MuP is the maximal update parametrization (arXiv 2203.03466): learning rates that are the best at width Base stay
// about the best at width Dim, because the size of every activation's change in a step does not depend on the width.
//
// It is table 8 of the paper for Adam, in a form that leaves the forward as it is, so that other tools run the model:
//
//	                   initial standard deviation    learning rate
//	embedding          σ                             1
//	hidden matrices    σ·√(Base/Dim)                 Base/Dim
//	head               σ                             1
//	final norm         Base/Dim (all others: 1)      Base/Dim (all others: 1)
//
// The last row is the paper's multiplier 1/width of the logits. The head reads what the final norm's weight has
// multiplied, tied or not, so the factor can stand in that weight; and Adam on a weight that is smaller by a factor,
// with a learning rate smaller by the same, makes the same steps.
//
// What is simpler than in the paper: feed-forward and heads are taken to grow in proportion to Dim, and a wider model
// to have more heads, not larger ones (else scores would have to be scaled by 1/E instead of 1/√E).
type MuP struct {
	Base, Dim int
}

func (u MuP) ratio() float64 { return float64(u.Base) / float64(u.Dim) }

// LR multiplies the learning rate of a weight.
func (u MuP) LR(p *Param) float64 {
	if hidden(p.Name, p.role) || p.Name == outputNormName {
		return u.ratio()
	}
	return 1
}

// Decay multiplies the weight decay. Decay is taken times the learning rate: their product does not depend on the width.
func (u MuP) Decay(p *Param) float64 { return 1 / u.LR(p) }

// initial multiplies the initial standard deviation of a weight, or the value of a norm's.
func (u MuP) initial(t tensor) float64 {
	switch {
	case hidden(t.name, t.role):
		return math.Sqrt(u.ratio())
	case t.name == outputNormName:
		return u.ratio()
	}
	return 1
}

const (
	outputNormName = "model.norm.weight"
	headName       = "lm_head.weight"
)

// hidden reports a matrix both sides of which grow with the width.
func hidden(name string, r role) bool {
	return (r == roleMatrix || r == roleResidual) && name != headName
}

// NormIsOne reports whether the final norm's weight is 1 throughout, as initial weights have it without MuP.
func (m *Model) NormIsOne() (bool, error) {
	gain := make([]float32, m.norm.Weight.Len())
	m.norm.Read(m.dev, gain, 0)
	for _, g := range gain {
		if g != 1 {
			return false, m.dev.Sync()
		}
	}
	return true, m.dev.Sync()
}
