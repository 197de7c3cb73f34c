package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// commandLine finds the command lines that a text names; in backquotes or not.
var commandLine = regexp.MustCompile("(`?)redoxworker ((?:[a-z][a-z-]*|--[a-z][a-z-]*)(?:[ =][^ `,;:()\\n]+)*)")

// A text that tells somebody to run a command names one that there is, with flags that it has.
func TestRules_TextsNameCommandsThatExist(t *testing.T) {
	t.Parallel()
	var c rootCommand
	app, err := kong.New(&c, kong.Vars{}, kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"keys", "dlq sl", "run --no-such-flag", "provsion"} {
		if wrongCommand(app.Model.Node, strings.Fields(bad)) == "" {
			t.Errorf("%q was taken", bad)
		}
	}
	lines := 0
	for place, text := range literals(t, "../..") {
		for _, found := range commandLine.FindAllStringSubmatch(text, -1) {
			known := slices.ContainsFunc(app.Model.Children, func(n *kong.Node) bool { return n.Name == strings.Fields(found[2])[0] })
			if found[1] == "" && !known {
				continue // prose: "redoxworker delivers messages"
			}
			lines++
			if wrong := wrongCommand(app.Model.Node, strings.Fields(found[2])); wrong != "" {
				t.Errorf("%s: %q: %s", place, found[0], wrong)
			}
		}
	}
	if lines < 20 {
		t.Errorf("only %d command lines were found", lines)
	}
}

// wrongCommand says what is wrong with the command and the flags of a line, "" if nothing is.
func wrongCommand(node *kong.Node, words []string) string {
	for len(words) > 0 && len(node.Children) > 0 && !strings.HasPrefix(words[0], "-") {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == strings.TrimRight(words[0], ".\\") })
		if i < 0 {
			return "there is no command " + words[0]
		}
		node, words = node.Children[i], words[1:]
	}
	if node.DefaultCmd != nil {
		node = node.DefaultCmd
	}
	if len(node.Children) > 0 && !slices.Contains(words, "--help") {
		return "it is a usage error: it lacks its subcommand"
	}
	for _, word := range words {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(strings.TrimRight(name, ".\\"), "=")
		if isFlag && name != "help" && !slices.ContainsFunc(node.AllFlags(false), func(flags []*kong.Flag) bool {
			return slices.ContainsFunc(flags, func(f *kong.Flag) bool { return f.Name == name })
		}) {
			return "there is no flag --" + name
		}
	}
	return ""
}

// literals are the string literals of the module outside of tests, by place, those that are
// added to each other as one.
func literals(t *testing.T, root string) map[string]string {
	t.Helper()
	texts, files := map[string]string{}, token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if text, ok := joined(n); ok {
				texts[files.Position(n.Pos()).String()] = text
				return false
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// joined is the text of a literal, or of literals with + between; what else is in a sum
// counts as a blank.
func joined(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			text, err := strconv.Unquote(n.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		left, leftOK := joined(n.X)
		right, rightOK := joined(n.Y)
		if n.Op == token.ADD && (leftOK || rightOK) {
			return left + right, true
		}
	}
	return "", false
}
