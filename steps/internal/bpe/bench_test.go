package bpe

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// goSources returns the Go files of the toolchain's own packages, without tests: text that every machine with Go has.
func goSources(b *testing.B) (list []string, bytes int64) {
	b.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skipf("no Go sources: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(out)), "src")
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		data, err := os.ReadFile(path)
		list = append(list, string(data))
		bytes += int64(len(data))
		return err
	})
	if err != nil {
		b.Skipf("no Go sources: %v", err)
	}
	return list, bytes
}

func BenchmarkTrain(b *testing.B) {
	list, bytes := goSources(b)
	b.SetBytes(bytes)
	for b.Loop() {
		if _, _, err := Train(context.Background(), docs(list), TrainOptions{VocabSize: 32000, Special: "llama3"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode encodes on as many goroutines as there are processors.
func BenchmarkEncode(b *testing.B) {
	list, bytes := goSources(b)
	t, _, err := Train(context.Background(), docs(list), TrainOptions{VocabSize: 32000, Special: "llama3"})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(bytes)
	b.ResetTimer()
	for b.Loop() {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				var ids []int32
				for {
					i := int(next.Add(1)) - 1
					if i >= len(list) {
						return
					}
					ids = t.EncodeAppend(ids[:0], list[i])
				}
			})
		}
		wg.Wait()
	}
}

func BenchmarkSplit(b *testing.B) {
	list, bytes := goSources(b)
	b.SetBytes(bytes)
	n := 0
	for b.Loop() {
		for _, s := range list {
			for i := 0; i < len(s); n++ {
				i = wordRule{digits: 3}.next(s, i)
			}
		}
	}
}
