package reinforce

import (
	"encoding/json"
	"math"
	"testing"

	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/train/traintest"
)

// upstream is what lies above a block: a policy of two layers with matrices of 2·(4·64 + 3·8·16) + 100·8 = 2080 weights,
// that is 1280 + 800; with a scalar head, 1280 + 8.
func upstream(more map[string]map[string]float64) map[string]steps.Estimate {
	shape := map[string]float64{"vocab_size": 100, "dim": 8, "ffn": 16, "n_layer": 2, "n_head": 2, "n_kv_head": 2, "head_dim": 4, "max_context": 64, "tied": 1}
	up := map[string]steps.Estimate{"policy": {Facts: shape}}
	for at, facts := range more {
		if facts == nil {
			facts = shape
		}
		up[at] = steps.Estimate{Facts: facts}
	}
	return up
}

// attention is what causal attention adds for a token in a dialogue of so many, forward alone: 12·L·H·E·context/2 is that
// of training.
func attention(length float64) float64 { return 12 * 2 * 2 * 4 * length / 2 / 3 }

func TestEstimateCountsRolloutsAndUpdates(t *testing.T) {
	const policy, scoring = 2080.0, 1288.0
	data := map[string]map[string]float64{"data": {"bytes": 24300, "documents": 1000}} // 24.3 bytes at 2.43 a token: 10 tokens
	with := func(at ...string) map[string]map[string]float64 {
		all := map[string]map[string]float64{"data": data["data"]}
		for _, a := range at {
			all[a] = nil
		}
		return all
	}
	const config = `{"iterations": 3, "rollout": {"prompts": 5, "tokens": 20}, "precision": "float32"}`
	for name, c := range map[string]struct {
		config string
		up     map[string]map[string]float64
		plan   Plan
		length float64 // of a dialogue with its answer
		passes float64 // weights and attention that a token of a rollout meets, over 2
		learns float64 // and one that is learned from, over 6
		scored int     // models with a scalar head among the passes
	}{
		"grpo, rules alone":   {config, with(), Plan{Group: 4, Epochs: 1}, 30, 2 * policy, policy, 0},
		"grpo, reward model":  {config, with("reward"), Plan{Group: 4, Epochs: 2}, 30, 2*policy + scoring, policy, 1},
		"ppo":                 {config, with("reward"), Plan{Group: 1, Epochs: 4, Critic: true}, 30, 2*policy + 2*scoring, policy + scoring, 2},
		"ppo, rules alone":    {config, with(), Plan{Group: 1, Epochs: 4, Critic: true}, 30, 2*policy + scoring, policy + scoring, 1},
		"data not made yet":   {config, map[string]map[string]float64{"data": {"bytes": 5000}}, Plan{Group: 4, Epochs: 1}, 64, 2 * policy, policy, 0},
		"context":             {`{"iterations": 3, "rollout": {"prompts": 5, "tokens": 20}, "context": 25}`, with(), Plan{Group: 4, Epochs: 1}, 25, 2 * policy, policy, 0},
		"bfloat16 reads anew": {`{"iterations": 3, "rollout": {"prompts": 5, "tokens": 20}, "precision": "bfloat16"}`, with(), Plan{Group: 4, Epochs: 1}, 30, 3 * policy, policy, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: json.RawMessage(c.config)}, Upstream: upstream(c.up)}, c.plan)
			if err != nil {
				t.Fatal(err)
			}
			tokens := float64(5*c.plan.Group) * c.length
			models := math.Round((c.passes - float64(c.scored)*scoring) / policy)
			rollout := 2*c.passes + (models+float64(c.scored))*attention(c.length)
			update := 6*c.learns + 3*float64(e.Training.Trained)*attention(c.length)
			want := tokens*4*rollout + tokens*3*float64(c.plan.Epochs)*update
			if math.Abs(e.FLOPs-want) > 1e-9*want {
				t.Errorf("%v operations, want %v", e.FLOPs, want)
			}
			if want := int64(tokens) * 3 * int64(c.plan.Epochs); e.Tokens != want {
				t.Errorf("%d tokens are learned from, want %d", e.Tokens, want)
			}
			if e.Training.Frozen+e.Training.Trained < 2 || e.Memory <= 0 || e.Parameters <= 0 {
				t.Errorf("%+v, %+v", e, e.Training)
			}
		})
	}
}

// TestAnswersOfTheDataAreMeasures: where records have answers, the policy's are taken to be as long; where they have none,
// as long as they may be.
func TestAnswersOfTheDataAreMeasures(t *testing.T) {
	dialogue := func(i int) corpus.Document { return traintest.Dialogue(i, 1) }
	prompt := func(i int) corpus.Document {
		question, _ := traintest.Question(i)
		return corpus.Document{Prompt: question}
	}
	for name, c := range map[string]struct {
		document func(int) corpus.Document
		length   int64
	}{
		"dialogues": {dialogue, 10 + templateTokens},
		"prompts":   {prompt, 10 + 40},
	} {
		set := traintest.DocumentSet(t, traintest.Documents(0, 4, c.document), nil)
		config, err := json.Marshal(map[string]any{"iterations": 3, "rollout": map[string]int{"prompts": 5, "tokens": 40}, "data": set})
		if err != nil {
			t.Fatal(err)
		}
		up := upstream(map[string]map[string]float64{"data": {"bytes": 24300, "documents": 1000}}) // 10 tokens a record
		e, err := Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: config}, Upstream: up}, Plan{Group: 1, Epochs: 1})
		if err != nil || e.Tokens != 5*3*c.length {
			t.Errorf("%s: %d tokens, want %d (%v)", name, e.Tokens, 5*3*c.length, err)
		}
	}
}

// What is not known yet is left out, not guessed.
func TestEstimateOfWhatIsNotKnown(t *testing.T) {
	e, err := Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: json.RawMessage(`{"rollout": {"prompts": 5, "tokens": 20}}`)}, Upstream: upstream(nil)}, Plan{Group: 4, Epochs: 1})
	if err != nil || e.FLOPs != 0 || e.Memory <= 0 {
		t.Errorf("without the number of iterations: %+v, %v", e, err)
	}
	if _, err := Estimate(&steps.EstimateInput{Spec: &steps.Spec{Config: json.RawMessage(`{}`)}}, Plan{}); err == nil {
		t.Error("it needs no policy")
	}
}
