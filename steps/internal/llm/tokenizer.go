package llm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// tokenizerFiles are the files of a Hugging Face folder that belong to its tokenizer.
var tokenizerFiles = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
}

// TokenizerFiles lists the files of a folder that belong to its tokenizer, with dir in front. A folder without a
// tokenizer.json has none.
func TokenizerFiles(dir string) ([]string, error) {
	var files []string
	for _, name := range tokenizerFiles {
		path := filepath.Join(dir, name)
		switch _, err := os.Stat(path); {
		case err == nil:
			files = append(files, path)
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		case len(files) == 0:
			return nil, nil
		}
	}
	return files, nil
}

// CopyTokenizer copies the tokenizer's files from one folder to another and flushes them to the disk.
func CopyTokenizer(dst, src string) error {
	files, err := TokenizerFiles(src)
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := copyFile(filepath.Join(dst, filepath.Base(path)), path); err != nil {
			return fmt.Errorf("copying the tokenizer: %w", err)
		}
	}
	return nil
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(dst)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if e := out.Close(); err == nil {
		err = e
	}
	return err
}
