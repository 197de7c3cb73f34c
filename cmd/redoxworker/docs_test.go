package main

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/redoxworker/redoxworker/config"
)

// What the documents of the repository name is there.

// document is a Markdown file of the repository, without its blocks of code.
type document struct{ path, text string }

func documents(t *testing.T) (list []document) {
	t.Helper()
	blocks := regexp.MustCompile("(?ms)^```.*?^```$")
	for _, name := range files(t, `\.md$`) {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, document{name, blocks.ReplaceAllString(string(text), "")})
	}
	if len(list) < 4 {
		t.Fatalf("%d documents found", len(list))
	}
	return list
}

// code is what a document has in backticks.
func (d document) code() (list []string) {
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(d.text, -1) {
		list = append(list, m[1])
	}
	return list
}

func TestDocs_LinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(d.text, -1) {
			link, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", d.path, err)
				continue
			}
			if link.Scheme != "" {
				continue // not of this repository
			}
			target := d.path
			if link.Path != "" {
				target = path.Join(path.Dir(d.path), link.Path)
			}
			text, err := os.ReadFile(filepath.Join("../..", target))
			if info, statErr := os.Stat(filepath.Join("../..", target)); statErr != nil {
				t.Errorf("%s links to %s, which does not exist", d.path, m[1])
			} else if err != nil && !info.IsDir() {
				t.Error(err)
			}
			if link.Fragment != "" && !slices.Contains(anchors(string(text)), link.Fragment) {
				t.Errorf("%s links to %s, which has no such heading", d.path, m[1])
			}
		}
	}
}

// anchors are those of the headings of a document.
func anchors(text string) (list []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		words := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		list = append(list, strings.ReplaceAll(words, " ", "-"))
	}
	return list
}

// A file is named by its path from the top, or by the end of it from the document's folder
// down: settle.go in worker/DESIGN.md.
func TestDocs_FilesExist(t *testing.T) {
	t.Parallel()
	all := files(t, `.`)
	name := regexp.MustCompile(`^[\w.][\w./-]*\.(go|md|ya?ml|txtar|conf|json|py)$`)
	made := []string{"message.json", "query.json", "redoxworker.yaml", "key.pem"} // by whoever reads it
	found := 0
	for _, d := range documents(t) {
		for _, code := range d.code() {
			if !name.MatchString(code) || slices.Contains(made, code) {
				continue
			}
			found++
			if !slices.ContainsFunc(all, func(f string) bool {
				return f == code || (strings.HasPrefix(f, path.Dir(d.path)+"/") || path.Dir(d.path)[0] == '.') && strings.HasSuffix(f, "/"+code)
			}) {
				t.Errorf("%s names the file %s, which does not exist", d.path, code)
			}
		}
	}
	if found < 30 {
		t.Errorf("%d files found", found)
	}
}

func TestDocs_FoldersExist(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, code := range d.code() {
			if !regexp.MustCompile(`^(\.ci|\.github|auth|cmd|config|deploy|outbox|worker)/[a-z0-9/_-]+$`).MatchString(code) {
				continue
			}
			if _, err := os.Stat(filepath.Join("../..", code)); err != nil {
				t.Errorf("%s names %s, which does not exist", d.path, code)
			}
		}
	}
}

// A key is one of config, or the beginning of several, with its value behind a colon or not.
func TestDocs_ConfigurationKeysExist(t *testing.T) {
	t.Parallel()
	keys := config.Reference()
	sections := map[string]bool{}
	for _, f := range keys {
		if section, _, ok := strings.Cut(f.Key, "."); ok {
			sections[section] = true
		}
	}
	subjects := []string{"out", "gateway", "reply", "dlq", "wake", "turn", "worker", "audit", "event", "reconcile"} // redox.out. is no key
	isKey := regexp.MustCompile(`^([a-z]+)\.[a-z_.<>*]+$`)
	found := 0
	for _, d := range documents(t) {
		for _, code := range d.code() {
			name, _, _ := strings.Cut(code, ":")
			m := isKey.FindStringSubmatch(name)
			if m == nil || !sections[m[1]] || regexp.MustCompile(`\.(go|mjs|py)\b`).MatchString(name) || m[1] == "redox" && slices.Contains(subjects, strings.Split(name, ".")[1]) {
				continue
			}
			found++
			start := strings.TrimSuffix(strings.TrimSuffix(name, "*"), ".")
			if !slices.ContainsFunc(keys, func(f config.Field) bool { return f.Key == start || strings.HasPrefix(f.Key, start+".") }) {
				t.Errorf("%s names the key %s, which config does not have", d.path, name)
			}
		}
	}
	if found < 40 {
		t.Errorf("%d keys found", found)
	}
}

// What stands in backticks as a command line is one that the command takes, its arguments aside.
func TestDocs_CommandsExist(t *testing.T) {
	t.Parallel()
	var c rootCommand
	app, err := kong.New(&c, kong.Vars{}, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range documents(t) {
		joined := document{d.path, strings.ReplaceAll(d.text, "\n", " ")}
		for _, code := range joined.code() {
			line, ok := strings.CutPrefix(code, "redoxworker ")
			if !ok || strings.Contains(line, "…") {
				continue
			}
			found++
			if wrong := wrongCommand(app.Model.Node, strings.Fields(line)); wrong != "" {
				t.Errorf("%s: %q: %s", d.path, code, wrong)
			}
		}
	}
	if found < 10 {
		t.Errorf("%d command lines found", found)
	}
}
