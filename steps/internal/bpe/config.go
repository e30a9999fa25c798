package bpe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// SideFiles are the files that are read where they stand beside a tokenizer.json.
var SideFiles = []string{"tokenizer_config.json", "chat_template.jinja"}

// readConfig reads tokenizer_config.json and, where it is a file of its own, chat_template.jinja. Both may be absent.
func (t *Tokenizer) readConfig(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		if err := json.Unmarshal(data, &t.format.config); err != nil {
			return fmt.Errorf("tokenizer_config.json: %w", err)
		}
	}
	t.roles.bos = tokenName(t.format.config["bos_token"])
	t.roles.eos = tokenName(t.format.config["eos_token"])
	t.roles.pad = tokenName(t.format.config["pad_token"])
	t.roles.template = templateText(t.format.config["chat_template"])
	if t.roles.template == "" {
		data, err := os.ReadFile(filepath.Join(dir, "chat_template.jinja"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		t.roles.template = string(data)
	}
	return nil
}

// tokenName reads a token that is written as a string or as an object with its content.
func tokenName(raw json.RawMessage) string {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return name
	}
	var object struct {
		Content string `json:"content"`
	}
	if json.Unmarshal(raw, &object) == nil {
		return object.Content
	}
	return ""
}

// templateText reads a chat template that is one text, or a list of named ones of which "default" counts.
func templateText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var list []struct{ Name, Template string }
	if json.Unmarshal(raw, &list) == nil {
		for _, e := range list {
			if e.Name == "default" {
				return e.Template
			}
		}
	}
	return ""
}
