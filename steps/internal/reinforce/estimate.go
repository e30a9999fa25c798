package reinforce

import (
	"errors"

	"athanor/gpu"
	"athanor/steps"
	"athanor/steps/internal/corpus"
	"athanor/steps/internal/llm"
	"athanor/steps/internal/tokens"
	"athanor/steps/internal/train"
)

// A price is what a token of a dialogue with its answer costs, in floating-point operations. N being the weights of a
// model's matrices, a forward pass is 2·N and training on a token 6·N, each with its share of causal attention
// ([llm.Config.FLOPsPerToken]).
type price struct {
	rollout float64 // to sample it, or to read it before sampling, and to be read by reference, reward model and critic
	update  float64 // to learn from it once: the policy and the critic
}

// priced is the price of tokens in dialogues of so many. reward and critic are nil where there is none; reread says that
// the policy reads its own answers again, as it does unless the precision is float32.
func priced(policy llm.Config, reward, critic *llm.Config, reread bool, length int) price {
	forward := func(c llm.Config) float64 { return c.FLOPsPerToken(length) / 3 }
	p := price{rollout: 2 * forward(policy), update: policy.FLOPsPerToken(length)}
	if reread {
		p.rollout += forward(policy)
	}
	if reward != nil {
		p.rollout += forward(*reward)
	}
	if critic != nil {
		p.rollout += forward(*critic)
		p.update += critic.FLOPsPerToken(length)
	}
	return p
}

// Plan is what Estimate has to know of a block beside its [Config].
type Plan struct {
	Group  int // answers to each prompt
	Epochs int // over the answers of an iteration
	Critic bool
}

// usualPrompt is how many tokens a prompt is taken to have as long as nothing is known of the data.
const usualPrompt = 128

// templateTokens is about how many tokens a chat template spends on a question and an answer beside their texts.
const templateTokens = 11

// Estimate says what the training needs: policy and critic in training, reference and reward model to read with. Each
// prompt is taken to have as many tokens as a record of the data has in the mean, each answer as many as it may; where the
// records have answers already, those stand for the policy's. With D
// such tokens of an iteration, the operations are D·(iterations+1) for the rollouts, the last of which only measures, and
// D·iterations·epochs for the updates, each times its [price].
func Estimate(in *steps.EstimateInput, p Plan) (steps.Estimate, error) {
	up := in.Upstream["policy"]
	policy, ok := train.Architecture(up.Facts)
	if !ok {
		return steps.Estimate{}, errors.New("the shape of the policy is not known yet")
	}
	var c struct {
		Data       steps.Artifact `json:"data"`
		Context    *int           `json:"context"`
		Iterations int            `json:"iterations"`
		Rollout    Rollouts       `json:"rollout"`
		train.Numerics
	}
	if err := in.Spec.Decode(&c); err != nil {
		return steps.Estimate{}, err
	}
	longest := policy.MaxPositionEmbeddings
	if c.Context != nil {
		longest = *c.Context
	}
	micro := max(defaultMicroTokens, longest)
	t := &steps.Training{Context: longest, MicroTokens: micro, Trained: 1, Frozen: 1, Precision: c.Precision}
	var reward, critic *llm.Config
	if above, ok := in.Upstream["reward"]; ok {
		reward = scorer(above, policy)
		t.Frozen++
	}
	if p.Critic {
		t.Trained++
		critic = scorer(in.Upstream["critic"], policy)
		if _, ok := in.Upstream["critic"]; !ok && reward != nil {
			critic = reward
		}
	}
	e := steps.Estimate{
		Parameters: policy.Parameters(), Facts: up.Facts, Training: t,
		Memory: int64(t.Trained)*policy.TrainingMemory(micro) + int64(t.Frozen)*policy.InferenceMemory(micro),
	}
	length := min(longest, record(in.Upstream["data"].Facts, up.Facts)+answer(c.Data, c.Rollout.Tokens))
	each := float64(c.Rollout.Prompts * p.Group * length) // 0 where a number is not known yet
	per := priced(policy, reward, critic, c.Precision == gpu.BFloat16, length)
	learned := each * float64(c.Iterations*p.Epochs)
	e.Tokens = int64(learned)
	if learned > 0 {
		e.FLOPs = each*float64(c.Iterations+1)*per.rollout + learned*per.update
	}
	return e, nil
}

// scorer is the shape of a model with a scalar head: that of the step which makes it, or the policy's.
func scorer(above steps.Estimate, policy llm.Config) *llm.Config {
	c, ok := train.Architecture(above.Facts)
	if !ok {
		c = policy
	}
	c.Score, c.TieWordEmbeddings = true, false
	return &c
}

// record is how many tokens a record of the data is taken to have.
func record(data, policy map[string]float64) int {
	if data["bytes"] > 0 && data["documents"] > 0 {
		return max(1, int(tokens.Expect(data["bytes"]/data["documents"], policy)))
	}
	return usualPrompt
}

// answer is how many tokens an answer is taken to have beside the record that it answers: none if the record has an answer
// of its own, because the policy's will be about as long, and as many as it may have otherwise.
func answer(data steps.Artifact, most int) int {
	if data.Path == "" {
		return most
	}
	set, err := corpus.Open(data.Path)
	if err != nil || set.Shape() == corpus.PromptShape {
		return most
	}
	return templateTokens
}
