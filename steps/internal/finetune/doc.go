// Package finetune is what sft, reward_model and dpo share: the blocks of their configuration, a model opened with its
// chat template, dialogues and preference pairs read as tokens, a source that packs them whole, and a [Run]: training with
// evaluations on the way, and its report.
//
// The unit of these runs is an [Example], a conversation or a pair of them, not a token: a batch is so many examples, and
// an epoch is all of them once, in an order of its own. Start at [Run].
//
// What a plan expects of a run is [Estimate]'s, which measures a sample of the data.
//
// The training loop is steps/internal/train, the layout of conversations steps/internal/chat.
package finetune
