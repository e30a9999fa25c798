package llm

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A Config is the architecture of a model: config.json of a Hugging Face LlamaForCausalLM, under its names, or of a
// LlamaForSequenceClassification with one label, if Score is set.
type Config struct {
	VocabSize             int     // V
	HiddenSize            int     // D
	IntermediateSize      int     // F
	NumHiddenLayers       int     // L
	NumAttentionHeads     int     // H
	NumKeyValueHeads      int     // G
	HeadDim               int     // E
	RMSNormEps            float64 //
	RopeTheta             float64 // base of the rotary frequencies
	RopeScaling           *RopeScaling
	TieWordEmbeddings     bool // the head reads the embedding table
	MaxPositionEmbeddings int  // context that the model was made for, in tokens
	InitializerRange      float64
	MuPBase               int // width that the initial weights are scaled for, see MuP; 0: none. Not in the file

	BOSTokenID  *int32  // nil: none
	EOSTokenIDs []int32 // ids that end a text; Hugging Face writes a single one as a number
	PadTokenID  *int32

	Score      bool    // the head gives one number per token, not a logit per word: score.go
	ScoreShift float64 // to be taken off every score, so that the answers of reference have mean 0

	DType string // number format of the folder that it was read from: "float32", "bfloat16", "float16"
}

// configJSON is the file. What differs between releases of transformers has both its names; we write the older one,
// which all releases and the other tools read.
type configJSON struct {
	Architectures         []string        `json:"architectures"`
	ModelType             string          `json:"model_type"`
	VocabSize             int             `json:"vocab_size"`
	HiddenSize            int             `json:"hidden_size"`
	IntermediateSize      int             `json:"intermediate_size"`
	NumHiddenLayers       int             `json:"num_hidden_layers"`
	NumAttentionHeads     int             `json:"num_attention_heads"`
	NumKeyValueHeads      *int            `json:"num_key_value_heads,omitempty"`
	HeadDim               *int            `json:"head_dim,omitempty"`
	HiddenAct             string          `json:"hidden_act"`
	RMSNormEps            *float64        `json:"rms_norm_eps,omitempty"`
	RopeTheta             *float64        `json:"rope_theta,omitempty"`
	RopeScaling           *RopeScaling    `json:"rope_scaling"`
	RopeParameters        *ropeParameters `json:"rope_parameters,omitempty"` // transformers 5
	TieWordEmbeddings     bool            `json:"tie_word_embeddings"`
	MaxPositionEmbeddings *int            `json:"max_position_embeddings,omitempty"`
	InitializerRange      *float64        `json:"initializer_range,omitempty"`
	AttentionBias         bool            `json:"attention_bias"`
	AttentionDropout      float64         `json:"attention_dropout"`
	MLPBias               bool            `json:"mlp_bias"`
	UseCache              bool            `json:"use_cache"`
	BOSTokenID            *int32          `json:"bos_token_id"`
	EOSTokenID            tokenIDs        `json:"eos_token_id"`
	PadTokenID            *int32          `json:"pad_token_id"`
	TorchDType            string          `json:"torch_dtype,omitempty"`
	DType                 string          `json:"dtype,omitempty"` // transformers 5
	Quantization          json.RawMessage `json:"quantization_config,omitempty"`

	// Of a scalar head.
	ID2Label   map[string]string `json:"id2label,omitempty"`
	Label2ID   map[string]int    `json:"label2id,omitempty"`
	ScoreShift float64           `json:"score_shift,omitempty"` // ours: other tools pass over it
}

// tokenIDs is null, a number or a list of numbers.
type tokenIDs []int32

func (t tokenIDs) MarshalJSON() ([]byte, error) {
	switch len(t) {
	case 0:
		return []byte("null"), nil
	case 1:
		return json.Marshal(t[0])
	}
	return json.Marshal([]int32(t))
}

func (t *tokenIDs) UnmarshalJSON(data []byte) error {
	var one int32
	if err := json.Unmarshal(data, &one); err == nil && string(data) != "null" {
		*t = tokenIDs{one}
		return nil
	}
	return json.Unmarshal(data, (*[]int32)(t))
}

const (
	configName        = "config.json"
	lmArchitecture    = "LlamaForCausalLM"
	scoreArchitecture = "LlamaForSequenceClassification"
)

// ReadConfig reads config.json of a Hugging Face folder. An architecture that this package would compute wrongly is an
// error.
func ReadConfig(dir string) (Config, error) {
	path := filepath.Join(dir, configName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return Config{}, fmt.Errorf("%s is no model folder: it has no %s", dir, configName)
	}
	if err != nil {
		return Config{}, err
	}
	var j configJSON
	if err := json.Unmarshal(data, &j); err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	c, err := j.config()
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	if c.RopeScaling != nil && c.RopeScaling.kind() == "default" {
		c.RopeScaling = nil // it scales nothing
	}
	return c, nil
}

// config fills in Hugging Face's defaults for what older folders leave out.
func (j *configJSON) config() (Config, error) {
	switch {
	case j.ModelType != "llama":
		return Config{}, fmt.Errorf("model_type %q is not supported: only \"llama\" is", j.ModelType)
	case len(j.Architectures) > 0 && j.Architectures[0] != lmArchitecture && j.Architectures[0] != scoreArchitecture:
		return Config{}, fmt.Errorf("architecture %s is not supported: only %s and %s are", j.Architectures[0], lmArchitecture, scoreArchitecture)
	case len(j.Architectures) > 0 && j.Architectures[0] == scoreArchitecture && len(j.ID2Label) != 1:
		return Config{}, fmt.Errorf("a classifier of %d labels is not supported: only a score, with one label, is", max(2, len(j.ID2Label)))
	case j.HiddenAct != "" && j.HiddenAct != "silu":
		return Config{}, fmt.Errorf("hidden_act %q is not supported: only \"silu\" is", j.HiddenAct)
	case j.AttentionBias || j.MLPBias:
		return Config{}, errors.New("models with attention_bias or mlp_bias are not supported")
	case len(j.Quantization) > 0 && string(j.Quantization) != "null":
		return Config{}, errors.New("quantized weights are not supported: use the float32, float16 or bfloat16 folder")
	}
	c := Config{
		VocabSize: j.VocabSize, HiddenSize: j.HiddenSize, IntermediateSize: j.IntermediateSize,
		NumHiddenLayers: j.NumHiddenLayers, NumAttentionHeads: j.NumAttentionHeads,
		NumKeyValueHeads: or(j.NumKeyValueHeads, j.NumAttentionHeads),
		RMSNormEps:       or(j.RMSNormEps, 1e-6), RopeTheta: or(j.RopeTheta, 10000), RopeScaling: j.RopeScaling,
		TieWordEmbeddings: j.TieWordEmbeddings, MaxPositionEmbeddings: or(j.MaxPositionEmbeddings, 2048),
		InitializerRange: or(j.InitializerRange, 0.02),
		BOSTokenID:       j.BOSTokenID, EOSTokenIDs: j.EOSTokenID, PadTokenID: j.PadTokenID, DType: j.TorchDType,
		Score: len(j.Architectures) > 0 && j.Architectures[0] == scoreArchitecture, ScoreShift: j.ScoreShift,
	}
	if j.DType != "" {
		c.DType = j.DType
	}
	if c.NumAttentionHeads > 0 {
		c.HeadDim = or(j.HeadDim, c.HiddenSize/c.NumAttentionHeads)
	}
	if p := j.RopeParameters; p != nil {
		c.RopeTheta = or(p.RopeTheta, c.RopeTheta)
		c.RopeScaling = &p.RopeScaling
	}
	return c, nil
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// architecture is Hugging Face's name for the kind of model.
func (c Config) architecture() string {
	if c.Score {
		return scoreArchitecture
	}
	return lmArchitecture
}

// Write writes config.json and generation_config.json into dir, for float32 weights, and flushes both.
func (c Config) Write(dir string) error {
	j := configJSON{
		Architectures: []string{c.architecture()}, ModelType: "llama", HiddenAct: "silu",
		VocabSize: c.VocabSize, HiddenSize: c.HiddenSize, IntermediateSize: c.IntermediateSize,
		NumHiddenLayers: c.NumHiddenLayers, NumAttentionHeads: c.NumAttentionHeads,
		NumKeyValueHeads: &c.NumKeyValueHeads, HeadDim: &c.HeadDim,
		RMSNormEps: &c.RMSNormEps, RopeTheta: &c.RopeTheta, RopeScaling: c.RopeScaling,
		TieWordEmbeddings: c.TieWordEmbeddings, MaxPositionEmbeddings: &c.MaxPositionEmbeddings,
		InitializerRange: &c.InitializerRange, UseCache: true,
		BOSTokenID: c.BOSTokenID, EOSTokenID: c.EOSTokenIDs, PadTokenID: c.PadTokenID, TorchDType: "float32",
	}
	if c.Score {
		j.ScoreShift = c.ScoreShift
		j.ID2Label, j.Label2ID = map[string]string{"0": "score"}, map[string]int{"score": 0}
	}
	if err := writeJSON(filepath.Join(dir, configName), j); err != nil {
		return err
	}
	return writeJSON(filepath.Join(dir, "generation_config.json"), struct {
		BOSTokenID *int32   `json:"bos_token_id,omitempty"`
		EOSTokenID tokenIDs `json:"eos_token_id,omitempty"`
		PadTokenID *int32   `json:"pad_token_id,omitempty"`
	}{c.BOSTokenID, c.EOSTokenIDs, c.PadTokenID})
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// Validate says what is wrong with the shape of a model, in Hugging Face's words.
func (c Config) Validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"vocab_size", c.VocabSize}, {"hidden_size", c.HiddenSize}, {"intermediate_size", c.IntermediateSize},
		{"num_hidden_layers", c.NumHiddenLayers}, {"num_attention_heads", c.NumAttentionHeads},
		{"num_key_value_heads", c.NumKeyValueHeads}, {"head_dim", c.HeadDim},
		{"max_position_embeddings", c.MaxPositionEmbeddings},
	} {
		if f.value <= 0 {
			return fmt.Errorf("%s is %d: it must be at least 1", f.name, f.value)
		}
	}
	switch {
	case c.NumAttentionHeads%c.NumKeyValueHeads != 0:
		return fmt.Errorf("num_attention_heads %d is no multiple of num_key_value_heads %d", c.NumAttentionHeads, c.NumKeyValueHeads)
	case c.HeadDim%2 != 0:
		return fmt.Errorf("head_dim %d is odd: rotary embeddings pair the elements of a head", c.HeadDim)
	case !(c.RMSNormEps > 0):
		return fmt.Errorf("rms_norm_eps is %g: it must be positive", c.RMSNormEps)
	case !(c.RopeTheta > 0):
		return fmt.Errorf("rope_theta is %g: it must be positive", c.RopeTheta)
	case !(c.InitializerRange >= 0):
		return fmt.Errorf("initializer_range is %g: it must not be negative", c.InitializerRange)
	}
	return c.RopeScaling.validate()
}

// Parameters is the exact number of weights; a tied head counts once.
func (c Config) Parameters() int64 {
	d, l := int64(c.HiddenSize), int64(c.NumHiddenLayers)
	n := c.matrices() + d*(2*l+1) // and the norms
	if !c.TieWordEmbeddings {
		n += int64(c.VocabSize) * d // the embedding table; matrices counts the head
	}
	return n
}

// matrices counts the weights of all linear layers, the head included.
func (c Config) matrices() int64 {
	d, e := int64(c.HiddenSize), int64(c.HeadDim)
	attention := 2*d*e*int64(c.NumAttentionHeads) + 2*d*e*int64(c.NumKeyValueHeads)
	outputs := int64(c.VocabSize)
	if c.Score {
		outputs = 1
	}
	return int64(c.NumHiddenLayers)*(attention+3*d*int64(c.IntermediateSize)) + outputs*d
}

// FLOPsPerToken is the cost of training on one token, forward and backward: 6 per weight of every matrix and of the
// head, not of the embedding table (arXiv 2001.08361, section 2.1), and causal attention within segments of context
// tokens, 12·L·H·E·context/2. A forward alone costs a third.
func (c Config) FLOPsPerToken(context int) float64 {
	attention := 12 * float64(c.NumHiddenLayers) * float64(c.NumAttentionHeads) * float64(c.HeadDim) * float64(context) / 2
	return 6*float64(c.matrices()) + attention
}
