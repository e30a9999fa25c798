package chat

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// A Template is the layout of a conversation in Jinja, with what Hugging Face's apply_chat_template adds to the language:
// trim_blocks and lstrip_blocks, raise_exception and strftime_now. The library reads no conditional expression in
// parentheses, (a if b else c): such a template is an error, and a set of the expression before its use is the way out.
// A Template does not change; several goroutines may render.
type Template struct {
	jinja *exec.Template

	calls, tools bool // it has a use for tool_calls and for tools
}

// ParseTemplate reads a template. Other files cannot be included.
func ParseTemplate(text string) (*Template, error) {
	c := config.New()
	c.TrimBlocks, c.LeftStripBlocks = true, true
	const name = "chat_template"
	loader, err := loaders.NewMemoryLoader(map[string]string{"/" + name: text})
	if err != nil {
		return nil, err
	}
	filters := exec.NewFilterSet(map[string]exec.FilterFunction{}).Update(builtins.Filters).
		Update(exec.NewFilterSet(map[string]exec.FilterFunction{"tojson": toJSON, "trim": trim}))
	methods := builtins.Methods
	methods.Str, methods.Dict = stringMethods(), dictMethods()
	functions := exec.NewContext(map[string]any{"raise_exception": raise, "strftime_now": strftime})
	t, err := exec.NewTemplate("/"+name, c, loader, &exec.Environment{
		Context: exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables).Update(functions),
		Filters: filters, Tests: builtins.Tests, ControlStructures: builtins.ControlStructures, Methods: methods,
	})
	if err != nil {
		return nil, fmt.Errorf("the chat template is not Jinja that can be read: %w", shorten(err, text))
	}
	return &Template{t, strings.Contains(text, "tool_calls"), toolsWord.MatchString(text)}, nil
}

// toolsWord is the variable of a template, which published ones have under no other name.
var toolsWord = regexp.MustCompile(`\btools\b`)

// shorten takes the template's own text out of an error of the library.
func shorten(err error, text string) error {
	message := strings.ReplaceAll(err.Error(), "failed to parse template '"+text+"': ", "")
	if strings.Contains(message, "Unbalanced parenthesis") {
		message += ". A conditional expression in parentheses, (a if b else c), is not supported: {% set %} a variable to it and use that"
	}
	return errors.New(message)
}

// render lays out messages. specials are variables like bos_token; prompt asks for the opening of an answer at the end.
func (t *Template) render(messages []Message, specials map[string]string, prompt bool) (string, error) {
	list := make([]any, len(messages))
	for i, m := range messages {
		fields := map[string]any{"role": m.Role, "content": m.Content}
		if m.ToolCalls != "" {
			calls, err := value(m.ToolCalls)
			if err != nil {
				return "", fmt.Errorf("the tool calls of message %d: %w", i+1, err)
			}
			fields["tool_calls"] = calls
		}
		list[i] = fields
	}
	vars := map[string]any{"messages": list, "add_generation_prompt": prompt, "tools": nil}
	for _, m := range messages {
		if m.Tools != "" {
			var err error
			if vars["tools"], err = value(m.Tools); err != nil {
				return "", fmt.Errorf("the tools: %w", err)
			}
			break
		}
	}
	for name, text := range specials {
		vars[name] = text
	}
	text, err := t.jinja.ExecuteToString(exec.NewContext(vars))
	if err != nil {
		return "", fmt.Errorf("the chat template: %w", err)
	}
	return text, nil
}

// raise is how a template refuses a conversation.
func raise(message string) (string, error) { return "", errors.New(message) }

// strftime is the date as strftime_now gives it, for the fields that templates use. It is always the same day, that of
// Llama 3.1's own template: a date of today would make the ids of training another thing every day.
func strftime(layout string) string {
	day := time.Date(2024, time.July, 26, 0, 0, 0, 0, time.UTC)
	return strings.NewReplacer("%d", day.Format("02"), "%b", day.Format("Jan"), "%B", day.Format("January"),
		"%m", day.Format("01"), "%Y", day.Format("2006"), "%%", "%").Replace(layout)
}
