package llm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A MismatchError says why a model cannot be averaged with the first of a list.
type MismatchError struct {
	Index int // of the model in the list
	Err   error
}

func (e *MismatchError) Error() string { return fmt.Sprintf("model %d: %v", e.Index+1, e.Err) }
func (e *MismatchError) Unwrap() error { return e.Err }

// Average writes the weighted average of models of one architecture to dst (model soups: arXiv 2203.05482), without a
// device and without holding a model in memory. There is a weight for each folder of src; they add up to 1. The shift of
// scores is averaged as the head that it belongs to; what else config.json says beside the architecture is the first
// model's. A model that does not fit is a [MismatchError].
func Average(ctx context.Context, dst string, src []string, weights []float64) (Config, error) {
	if len(src) == 0 || len(src) != len(weights) {
		return Config{}, fmt.Errorf("llm: an average of %d models with %d weights", len(src), len(weights))
	}
	var folders []*folder
	defer func() {
		for _, f := range folders {
			f.close()
		}
	}()
	for i, dir := range src {
		f, err := openFolder(dir)
		if err != nil {
			return Config{}, &MismatchError{i, err}
		}
		folders = append(folders, f)
		if err := folders[0].config.sameArchitecture(f.config); err != nil {
			return Config{}, &MismatchError{i, err}
		}
	}
	config := folders[0].config
	config.ScoreShift = 0
	for i, f := range folders {
		config.ScoreShift += float64(weights[i] * f.config.ScoreShift)
	}
	return config, config.save(dst, func(t tensor) fill { return mean(folders, weights, t).until(ctx) })
}

// mean returns the weighted sum of a tensor over folders.
func mean(folders []*folder, weights []float64, t tensor) fill {
	var parts []fill
	for _, f := range folders {
		parts = append(parts, f.read(t.name))
	}
	var sum []float64
	var values []float32
	return func(dst []float32) error {
		if len(sum) < len(dst) {
			sum, values = make([]float64, len(dst)), make([]float32, len(dst))
		}
		clear(sum)
		for i, read := range parts {
			if err := read(values[:len(dst)]); err != nil {
				return err
			}
			for j, v := range values[:len(dst)] {
				sum[j] += float64(weights[i] * float64(v)) // not fused: equal bits everywhere
			}
		}
		for j := range dst {
			dst[j] = float32(sum[j])
		}
		return nil
	}
}

// sameArchitecture says in what another model's forward differs.
func (c Config) sameArchitecture(other Config) error {
	var all []string
	for _, f := range []struct {
		name          string
		first, second any
	}{
		{"architecture", c.architecture(), other.architecture()},
		{"vocab_size", c.VocabSize, other.VocabSize}, {"hidden_size", c.HiddenSize, other.HiddenSize},
		{"intermediate_size", c.IntermediateSize, other.IntermediateSize}, {"num_hidden_layers", c.NumHiddenLayers, other.NumHiddenLayers},
		{"num_attention_heads", c.NumAttentionHeads, other.NumAttentionHeads},
		{"num_key_value_heads", c.NumKeyValueHeads, other.NumKeyValueHeads}, {"head_dim", c.HeadDim, other.HeadDim},
		{"rms_norm_eps", c.RMSNormEps, other.RMSNormEps}, {"rope_theta", c.RopeTheta, other.RopeTheta},
		{"rope_scaling", describe(c.RopeScaling), describe(other.RopeScaling)},
		{"tie_word_embeddings", c.TieWordEmbeddings, other.TieWordEmbeddings},
		{"max_position_embeddings", c.MaxPositionEmbeddings, other.MaxPositionEmbeddings},
	} {
		if f.first != f.second {
			all = append(all, fmt.Sprintf("its %s is %v, that of the first model %v", f.name, f.second, f.first))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

func describe(s *RopeScaling) string {
	text, err := json.Marshal(s)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
