package kernels

import (
	"bytes"
	_ "embed"
	"regexp"
	"strings"
	"testing"
)

//go:embed README.md
var readme string

// TestImagesAreOfTheseSources fails when a kernel, an option or the compiler changed and go generate did not run. It needs
// no compiler: the digest of what the images were made of stands beside them.
func TestImagesAreOfTheseSources(t *testing.T) {
	made, err := images.ReadFile("image/digest.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(made)); got != Digest() {
		t.Errorf("the images are of sources with digest %s, but these have %s: run go generate ./gpu/cuda/kernels", got, Digest())
	}
}

func TestImage(t *testing.T) {
	for _, c := range []struct {
		major, minor int
		start        string // of the image; "" for an error
		target       string
	}{
		{7, 5, "", ""}, {8, 0, "\x7fELF", "sm_80"}, {8, 9, "\x7fELF", "sm_80"}, {9, 0, "\x7fELF", "sm_90a"},
		{10, 0, "//", "compute_80"}, {12, 1, "//", "compute_80"},
	} {
		image, err := Image(c.major, c.minor)
		if (err != nil) != (c.start == "") || !bytes.HasPrefix(image, []byte(c.start)) {
			t.Errorf("%d.%d: %d bytes, %v; want one that starts with %q", c.major, c.minor, len(image), err, c.start)
		}
		if strings.HasPrefix(c.start, "//") && image[len(image)-1] != 0 {
			t.Errorf("%d.%d: PTX does not end with a zero byte", c.major, c.minor)
		}
	}
}

// TestImagesHoldEveryKernel looks for each kernel that the README tells the host of.
func TestImagesHoldEveryKernel(t *testing.T) {
	names := kernelNames(t)
	for _, target := range Targets {
		image, err := target.image()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			found := []byte(".entry " + name + "(")
			if target.Machine {
				found = []byte(".text." + name + "\x00")
			}
			if !bytes.Contains(image, found) {
				t.Errorf("%s lacks the kernel %s", target.Name, name)
			}
		}
	}
}

// kernelNames lists the kernels of the README's tables.
func kernelNames(t *testing.T) []string {
	var names []string
	for line := range strings.Lines(readme) {
		cell, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range regexp.MustCompile("`([a-z0-9_]+?)(_T)?`").FindAllStringSubmatch(cell, -1) {
			if !strings.HasPrefix(line, "| `") {
				continue
			}
			if m[2] == "" {
				names = append(names, m[1])
			} else {
				names = append(names, m[1]+"_f32", m[1]+"_bf16")
			}
		}
	}
	if len(names) < 40 {
		t.Fatalf("the README names only the kernels %v", names)
	}
	return names
}
