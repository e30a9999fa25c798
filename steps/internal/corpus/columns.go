package corpus

import "github.com/parquet-go/parquet-go"

// One struct per Shape; the tags are the column names of Hugging Face. No column has statistics: the least and the
// greatest text of a page are of no use to anyone.
type (
	textRow struct {
		Text string `parquet:"text,plain"`
	}
	messageRow struct {
		Role      string  `parquet:"role,plain"`
		Content   string  `parquet:"content,plain"`
		ToolCalls *string `parquet:"tool_calls,optional,plain"` // JSON
	}
	messagesRow struct {
		Messages []messageRow `parquet:"messages,list"`
		Tools    *string      `parquet:"tools,optional,plain"` // JSON
	}
	answeredRow struct {
		messagesRow
		answerColumns
	}
	labelledRow struct {
		messagesRow
		labelColumn
	}
	promptRow struct {
		Prompt string `parquet:"prompt,plain"`
	}
	preferenceRow struct {
		Prompt   string `parquet:"prompt,plain"`
		Chosen   string `parquet:"chosen,plain"`
		Rejected string `parquet:"rejected,plain"`
	}
	dialoguePreferenceRow struct {
		Prompt   []messageRow `parquet:"prompt,list"`
		Chosen   []messageRow `parquet:"chosen,list"`
		Rejected []messageRow `parquet:"rejected,list"`
		Tools    *string      `parquet:"tools,optional,plain"` // JSON
	}
	judgedRow struct {
		dialoguePreferenceRow
		verdictColumns
	}
)

// Columns beside those.
type (
	answerColumns struct {
		Reference string   `parquet:"reference,plain"`
		Score     *float64 `parquet:"score,optional"`
	}
	labelColumn struct {
		Label bool `parquet:"label"`
	}
	verdictColumns struct {
		Margin         float64 `parquet:"margin"`
		ChosenScore    float64 `parquet:"chosen_score"`
		RejectedScore  float64 `parquet:"rejected_score"`
		ChosenSource   string  `parquet:"chosen_source,plain"`
		RejectedSource string  `parquet:"rejected_source,plain"`
	}
)

// The same without calls of tools: what a dataset has that knows none, because columns that are always null confuse chat
// templates, which ask whether a message has tool_calls.
type (
	plainMessage struct {
		Role    string `parquet:"role,plain"`
		Content string `parquet:"content,plain"`
	}
	plainMessages struct {
		Messages []plainMessage `parquet:"messages,list"`
	}
	plainAnswered struct {
		plainMessages
		answerColumns
	}
	plainLabelled struct {
		plainMessages
		labelColumn
	}
	plainPreference struct {
		Prompt   []plainMessage `parquet:"prompt,list"`
		Chosen   []plainMessage `parquet:"chosen,list"`
		Rejected []plainMessage `parquet:"rejected,list"`
	}
	plainJudged struct {
		plainPreference
		verdictColumns
	}
)

// plain is the schema of rows without calls; nil for rows that have none in any case.
func plain(row any) *parquet.Schema {
	switch row.(type) {
	case *messagesRow:
		return parquet.SchemaOf(new(plainMessages))
	case *answeredRow:
		return parquet.SchemaOf(new(plainAnswered))
	case *labelledRow:
		return parquet.SchemaOf(new(plainLabelled))
	case *dialoguePreferenceRow:
		return parquet.SchemaOf(new(plainPreference))
	case *judgedRow:
		return parquet.SchemaOf(new(plainJudged))
	}
	return nil
}
