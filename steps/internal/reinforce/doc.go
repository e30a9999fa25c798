// Package reinforce is what ppo and grpo share: a chat model answers prompts, its answers are scored, and it learns from
// them, again and again.
//
// One iteration is: sample answers with the policy as it is; score them (steps/internal/reward); read them with the
// reference and the critic; let the [Method] set an advantage for every token; take optimizer steps on minibatches of
// the answers, some epochs long. What is trained on are the very tokens that were sampled, with the log-probabilities of
// the sampler itself: no text is tokenized a second time.
//
// A checkpoint holds weights, moments, the answers of the iteration under way with all that was read about them, and the
// place in its epochs. An iteration that is stopped while answers are sampled samples them again after the resume, with
// the same weights and seed, and so the same bits.
//
// Start at [Config] and [Training.Run]; loop.go is the order of events, rollout.go the sampling, objective.go the clipped
// objective, state.go the checkpoint. How advantages come about is the business of steps/ppo and steps/grpo.
package reinforce
