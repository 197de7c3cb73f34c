package config

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// mendsAlone are mends that tests of their own follow.
var mendsAlone = []string{
	"the sources of before are served on", // TestReadDir_TheDirectoryGoesAndComes
	"there are several keys of type user", // TestConfig_UserKey
	"other; name one of type user",        // here with their key before them
	"other; make a user-level key in",
	"next.private_key_file; or remove next",
	"chmod 600", // TestLoad_WarnsOfFilesThatOthersCanUse
}

// tells finds a text that tells somebody to do something.
var tells = regexp.MustCompile(`(^|; )(use|give|set|add|remove|write|name|keep|copy|check|choose|make|decrypt|fill|rename|unset|raise|lower|move|allow|put|begin|chmod|it names a section)\b`)

// mendsInSource are the texts of this package that say what to do, by place.
func mendsInSource(t *testing.T) map[string]string {
	t.Helper()
	texts, set := map[string]string{}, token.NewFileSet()
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if _, ok := n.(*ast.StructType); ok {
				return false // tags
			}
			text, ok := literal(n)
			if ok && strings.Contains(text, " ") && tells.MatchString(text) {
				texts[set.Position(n.Pos()).String()] = text
			}
			return !ok
		})
	}
	if len(texts) < 80 {
		t.Errorf("only %d texts were found", len(texts))
	}
	return texts
}

// gap stands for what a text has between its literals.
const gap = "\x00"

// literal is the text of a literal or of a sum with one in it.
func literal(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			text, err := strconv.Unquote(n.Value)
			return text, err == nil
		}
	case *ast.BinaryExpr:
		left, leftOK := literal(n.X)
		right, rightOK := literal(n.Y)
		if n.Op == token.ADD && (leftOK || rightOK) {
			if !leftOK {
				left = gap
			}
			if !rightOK {
				right = gap
			}
			return left + right, true
		}
	}
	return "", false
}

// tried reports whether a text, whatever is in its gaps, is one of those that were provoked.
func tried(text, said string) bool {
	var parts []string
	for _, part := range regexp.MustCompile(gap+`|%[a-z]`).Split(text, -1) {
		parts = append(parts, regexp.QuoteMeta(part))
	}
	return regexp.MustCompile(strings.Join(parts, ".*")).MatchString(said)
}
