// Package catalog lists the step types: everything that a recipe can say.
//
// Adding a step type is a package under steps and one line here. The order is the order of the reference documentation:
// that of a recipe.
package catalog

import (
	"athanor/steps"
	"athanor/steps/anneal"
	"athanor/steps/average"
	"athanor/steps/dataset"
	"athanor/steps/dpo"
	"athanor/steps/evaluate"
	"athanor/steps/extendcontext"
	"athanor/steps/generate"
	"athanor/steps/grpo"
	"athanor/steps/mixture"
	"athanor/steps/mixturesearch"
	"athanor/steps/model"
	"athanor/steps/ppo"
	"athanor/steps/preferences"
	"athanor/steps/pretrain"
	"athanor/steps/report"
	"athanor/steps/rewardmodel"
	"athanor/steps/scalinglaw"
	"athanor/steps/sft"
	"athanor/steps/tokenizer"
)

// Types are the step types that the engine knows.
var Types = []steps.Type{
	dataset.Type,
	tokenizer.Type,
	mixture.Type,
	mixturesearch.Type,
	scalinglaw.Type,
	model.Type,
	pretrain.Type,
	extendcontext.Type,
	anneal.Type,
	average.Type,
	sft.Type,
	rewardmodel.Type,
	generate.Type,
	preferences.Type,
	ppo.Type,
	grpo.Type,
	dpo.Type,
	evaluate.Type,
	report.Type,
}
