// Package reward says how good answers are: by a reward model, by rules (equal to the answer of reference, a regular
// expression, a program), or by a weighted sum of them. Sampling answers and learning from them is the business of
// others: steps/generate, steps/internal/reinforce.
//
// Start at [Config], which a step type embeds, and at [Open].
package reward
