// Package train is the one training loop. Pre-training, fine-tuning, reward modelling and preference optimisation
// differ in where their micro-batches come from (a [Source]) and in what is minimised (an [Objective]); everything else
// is here once: gradient accumulation, clipping, AdamW, the learning-rate schedule, the growing batch, checkpoints that
// resume to the same bits, held-out loss, metrics and progress.
//
//	loop := &train.Loop{Model: m, Source: source, Objective: train.CrossEntropy{}, …}
//	err := loop.Run(ctx, rt)
//
// [Trainer] is the part below the loop: one optimizer step on micro-batches that the caller collected. Reinforcement
// learning, whose batches come from the model itself, drives it directly.
//
// # What counts as one step
//
// The micro-batches of an optimizer step are collected first, their units (supervised tokens, pairs) are counted, and
// only then do they run, so that each contributes to the gradient by its share of the whole batch and not as a mean of
// means. The schedule advances once per optimizer step, by the tokens consumed.
//
// What a model computes belongs to steps/internal/llm, how tokens are stored and sampled to steps/internal/tokens.
package train
