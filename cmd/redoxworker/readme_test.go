package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/config"
)

// The README's table of keys says what config says.
func TestReadme_ConfigurationTableIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]config.Field{}
	for _, f := range config.Reference() {
		fields[f.Key] = f
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z_<>.]+)` \\| `([^`]*)` \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) < 6 {
		t.Fatalf("%d rows found", len(rows))
	}
	for _, row := range rows {
		f, ok := fields[row[1]]
		if !ok {
			t.Errorf("the README names the key %s, which does not exist", row[1])
		} else if f.Default != row[2] {
			t.Errorf("the README says that %s is %q by default, config says %q", row[1], row[2], f.Default)
		}
	}
}

// The README is to be read in one go.
func TestReadme_IsShort(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n > 225 {
		t.Errorf("the README has %d lines; 225 are enough", n)
	}
}

// What the README shows of embedding is an example that is compiled and run.
func TestReadme_EmbeddingIsTheExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("../../worker/service/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)## Embed it\n\n```go\n(.*?)```").FindSubmatch(text)
	if block == nil {
		t.Fatal("the README shows no embedding")
	}
	indented := "\t" + strings.ReplaceAll(strings.TrimSpace(string(block[1])), "\n", "\n\t")
	if !strings.Contains(string(example), indented+"\n}") {
		t.Errorf("worker/service/example_test.go has another text than the README:\n%s", indented)
	}
}
