package llm

import (
	"encoding/json"
	"fmt"
	"math"

	"athanor/gpu"
)

// A RopeScaling stretches the rotary frequencies to contexts longer than those trained on: rope_scaling of config.json.
type RopeScaling struct {
	RopeType string   `json:"rope_type,omitempty"` // "linear", "llama3" or "yarn"
	OldType  string   `json:"type,omitempty"`      // its older name
	Factor   *float64 `json:"factor,omitempty"`

	OriginalMaxPositionEmbeddings int `json:"original_max_position_embeddings,omitempty"` // context before scaling

	// llama3
	LowFreqFactor  float64 `json:"low_freq_factor,omitempty"`
	HighFreqFactor float64 `json:"high_freq_factor,omitempty"`

	// yarn (arXiv 2309.00071)
	AttentionFactor *float64 `json:"attention_factor,omitempty"`
	BetaFast        *float64 `json:"beta_fast,omitempty"`
	BetaSlow        *float64 `json:"beta_slow,omitempty"`
	MScale          *float64 `json:"mscale,omitempty"`
	MScaleAllDim    *float64 `json:"mscale_all_dim,omitempty"`
	Truncate        *bool    `json:"truncate,omitempty"`

	PartialRotaryFactor *float64 `json:"partial_rotary_factor,omitempty"` // only 1, all of a head, is supported
}

// ropeParameters is what transformers 5 writes instead of rope_theta and rope_scaling.
type ropeParameters struct {
	RopeTheta *float64
	RopeScaling
}

func (p *ropeParameters) UnmarshalJSON(data []byte) error {
	var theta struct {
		RopeTheta *float64 `json:"rope_theta"`
	}
	if err := json.Unmarshal(data, &theta); err != nil {
		return err
	}
	p.RopeTheta = theta.RopeTheta
	return json.Unmarshal(data, &p.RopeScaling)
}

func (s *RopeScaling) kind() string {
	switch {
	case s.RopeType != "":
		return s.RopeType
	case s.OldType != "":
		return s.OldType
	}
	return "default"
}

func (s *RopeScaling) validate() error {
	if s == nil {
		return nil
	}
	if or(s.PartialRotaryFactor, 1) != 1 {
		return fmt.Errorf("partial_rotary_factor %g is not supported: only 1 is", *s.PartialRotaryFactor)
	}
	kind := s.kind()
	if kind == "default" {
		return nil
	}
	if kind != "linear" && kind != "llama3" && kind != "yarn" {
		return fmt.Errorf("rope_scaling of type %q is not supported: linear, llama3 and yarn are", kind)
	}
	if s.Factor == nil || !(*s.Factor >= 1) {
		return fmt.Errorf("rope_scaling of type %s needs a factor of at least 1", kind)
	}
	if kind != "linear" && s.OriginalMaxPositionEmbeddings <= 0 {
		return fmt.Errorf("rope_scaling of type %s needs original_max_position_embeddings", kind)
	}
	if kind == "llama3" && !(s.LowFreqFactor > 0 && s.HighFreqFactor > s.LowFreqFactor) {
		return fmt.Errorf("rope_scaling of type llama3 needs 0 < low_freq_factor < high_freq_factor, not %g and %g",
			s.LowFreqFactor, s.HighFreqFactor)
	}
	return nil
}

// rope returns the angles of the model's rotary embedding (arXiv 2104.09864, equation 15), scaled if it says so.
func (c Config) rope() *gpu.Rope {
	r := &gpu.Rope{HeadSize: c.HeadDim, InvFreq: make([]float64, c.HeadDim/2), Scale: 1}
	for i := range r.InvFreq {
		r.InvFreq[i] = math.Pow(c.RopeTheta, -2*float64(i)/float64(c.HeadDim))
	}
	if s := c.RopeScaling; s != nil {
		switch s.kind() {
		case "linear":
			for i := range r.InvFreq {
				r.InvFreq[i] /= *s.Factor
			}
		case "llama3":
			s.llama3(r.InvFreq)
		case "yarn":
			s.yarn(r.InvFreq, c.RopeTheta)
			r.Scale = s.attentionFactor()
		}
	}
	return r
}

// llama3 divides the frequencies whose wave is longer than the original context by the factor, keeps those that turn
// often within it, and blends between (Llama 3.1's reference code, apply_scaling).
func (s *RopeScaling) llama3(freq []float64) {
	context := float64(s.OriginalMaxPositionEmbeddings)
	for i, f := range freq {
		turns := context * f / (2 * math.Pi)
		switch {
		case turns < s.LowFreqFactor:
			freq[i] = f / *s.Factor
		case turns <= s.HighFreqFactor:
			keep := (turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
			freq[i] = (1-keep)*f / *s.Factor + keep*f
		}
	}
}

// yarn interpolates slow frequencies and keeps fast ones, by a ramp over the index of the pair (arXiv 2309.00071,
// section 3.2, as Hugging Face computes it).
func (s *RopeScaling) yarn(freq []float64, theta float64) {
	pairs := float64(len(freq))
	index := func(turns float64) float64 { // of the pair that turns so often within the original context
		return pairs * math.Log(float64(s.OriginalMaxPositionEmbeddings)/(turns*2*math.Pi)) / math.Log(theta)
	}
	low, high := index(or(s.BetaFast, 32)), index(or(s.BetaSlow, 1))
	if or(s.Truncate, true) {
		low, high = math.Floor(low), math.Ceil(high)
	}
	low, high = max(low, 0), min(high, 2*pairs-1)
	if low == high {
		high += 0.001
	}
	for i, f := range freq {
		slow := min(max((float64(i)-low)/(high-low), 0), 1)
		freq[i] = slow*f / *s.Factor + (1-slow)*f
	}
}

// attentionFactor is YaRN's temperature, applied to both cosine and sine.
func (s *RopeScaling) attentionFactor() float64 {
	if s.AttentionFactor != nil {
		return *s.AttentionFactor
	}
	factor := func(scale float64) float64 { return 0.1*scale*math.Log(*s.Factor) + 1 }
	if or(s.MScale, 0) != 0 && or(s.MScaleAllDim, 0) != 0 {
		return factor(*s.MScale) / factor(*s.MScaleAllDim)
	}
	return factor(1)
}
