// Package chat lays out conversations: it turns messages into token ids as the model's chat template says, and marks the
// tokens that the assistant wrote. Training, evaluation, `engine chat` and the exported folder all go through the one
// template text in tokenizer_config.json, so what a model is trained on is what it is later asked with.
//
//	format, err := chat.NewFormat(tokenizer)
//	ids, err := format.Prompt(messages)             // ends where the assistant's answer begins
//	conversation, err := format.Encode(messages)    // with a mark on every token of an answer
//	conversation, cut, err := format.Fit(messages, context)
//
// Templates are Jinja as Hugging Face's apply_chat_template reads it (template.go); the ids are those that it gives
// (format.go). Which conversations can be learned from is said in conversation.go.
//
// How a model answers is the business of steps/internal/llm, where conversations come from that of steps/dataset.
package chat
