package main

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// What the source itself must not do. What the language does not say and a machine can see
// stands here; vet, staticcheck and errcheck run beside it.

// files lists the files of the repository, relative to its top, whose paths match.
func files(t *testing.T, pattern string) []string {
	t.Helper()
	matches := regexp.MustCompile(pattern)
	var all []string
	top := os.DirFS("../..")
	if err := fs.WalkDir(top, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules"):
			return fs.SkipDir
		case !d.IsDir() && matches.MatchString(path):
			all = append(all, path)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// source is a file of Go.
type source struct {
	path string
	test bool
	text []byte
	tree *ast.File
	fset *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	parsing.Do(func() {
		fset := token.NewFileSet()
		for _, path := range files(t, `\.go$`) {
			text, err := os.ReadFile(filepath.Join("../..", path))
			if err != nil {
				t.Fatal(err)
			}
			tree, err := parser.ParseFile(fset, path, text, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, source{path: path, test: strings.HasSuffix(path, "_test.go"), text: text, tree: tree, fset: fset})
		}
	})
	return parsed
}

// What all rules read, once.
var (
	parsing sync.Once
	parsed  []source
)

// uses calls visit for every name of another package that the file uses, as "path.Name".
func (s source) uses(visit func(name string, at token.Position)) {
	imported := map[string]string{}
	for _, i := range s.tree.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		name := path[strings.LastIndexByte(path, '/')+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		imported[name] = path
	}
	ast.Inspect(s.tree, func(n ast.Node) bool {
		if e, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := e.X.(*ast.Ident); ok && x.Obj == nil && imported[x.Name] != "" {
				visit(imported[x.Name]+"."+e.Sel.Name, s.fset.Position(e.Pos()))
			}
		}
		return true
	})
}

// Nothing of the process that a caller does not know of, no request that cannot be
// cancelled, and one place that ends the process.
func TestRules_NoGlobalsAndNoRequestWithoutAContext(t *testing.T) {
	t.Parallel()
	forbidden := []struct {
		names *regexp.Regexp
		why   string
		but   string // the one file that may
	}{
		{regexp.MustCompile(`^fmt\.Print`), "libraries log through their logger, the command writes to its own streams", ""},
		{regexp.MustCompile(`^log\.`), "log through a *slog.Logger that was given", "cmd/redoxworker/internal/cli/logging.go"},
		{regexp.MustCompile(`^log/slog\.(Default|SetDefault|Debug|Info|Warn|Error|Log)(Context)?$`), "log through a *slog.Logger that was given", ""},
		{regexp.MustCompile(`^net/http\.(DefaultClient|DefaultServeMux|Handle|HandleFunc|Get|Head|Post|PostForm|NewRequest)$`), "make a request with a context, send it with a client of your own", ""},
		{regexp.MustCompile(`^net\.(Dial|DialTimeout)$`), "use a net.Dialer and a context", ""},
		{regexp.MustCompile(`^os/exec\.Command$`), "use exec.CommandContext", ""},
		{regexp.MustCompile(`^(os\.Exit|os/signal\.Notify(Context)?)$`), "only main may", "cmd/redoxworker/main.go"},
		{regexp.MustCompile(`^(os\.(Setenv|Unsetenv|Chdir)|net/http/pprof\..*|expvar\..*)$`), "that is global state", ""},
	}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		s.uses(func(name string, at token.Position) {
			for _, f := range forbidden {
				if f.names.MatchString(name) && s.path != f.but {
					t.Errorf("%v: %s: %s", at, name, f.why)
				}
			}
		})
	}
}

// Terminals have a dark or a light ground, and shades of their own for the names of colours: red and magenta
// have a contrast of 2.4 or more on both wherever it was looked at, green, yellow, cyan and blue as little as 1.6.
func TestRules_ColoursCanBeReadOnDarkAndOnLight(t *testing.T) {
	t.Parallel()
	shades := regexp.MustCompile(`go-pretty/v6/text\.(Fg|Bg)(Hi)?(Black|Green|Yellow|Blue|Cyan|White)$`)
	for _, s := range sources(t) {
		s.uses(func(name string, at token.Position) {
			if shades.MatchString(name) {
				t.Errorf("%v: %s: use FgRed, FgMagenta or Bold", at, name)
			}
		})
	}
}

// Nothing sleeps in real time, tests included: bubble.Sleep panics outside of fake time.
func TestRules_NothingSleeps(t *testing.T) {
	t.Parallel()
	may := []string{"worker/internal/failpoint/on.go", "worker/workertest/bubble/bubble.go"}
	for _, s := range sources(t) {
		s.uses(func(name string, at token.Position) {
			if (name == "time.Sleep" || name == "time.Tick") && !slices.Contains(may, s.path) {
				t.Errorf("%v: %s: wait for the event, or for it and the context; in a bubble, bubble.Sleep", at, name)
			}
		})
	}
}

// What npm installs is the same behind any registry, and what it was when it was chosen.
func TestRules_LockFilesNameNoRegistry(t *testing.T) {
	t.Parallel()
	for _, path := range files(t, `(^|/)package-lock\.json$`) {
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(`"resolved"`)) || !bytes.Contains(text, []byte(`"integrity"`)) {
			t.Errorf("%s has resolved in it, or no integrity: npm install --omit-lockfile-registry-resolved", path)
		}
	}
}

// A test is never skipped: what cannot run says so by failing.
func TestRules_NoTestIsSkipped(t *testing.T) {
	t.Parallel()
	skips := regexp.MustCompile(`\b[tbf]\.(Skip|Skipf|SkipNow)\(`)
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		if skips.Match(s.text) && !strings.HasSuffix(s.path, "rules_source_test.go") {
			t.Errorf("%s skips a test", s.path)
		}
	}
}

// Errors are told apart by what they mean: one that is wrapped is the same.
func TestRules_ErrorsAreNotComparedByIdentity(t *testing.T) {
	t.Parallel()
	sentinel := regexp.MustCompile(`^(EOF|ErrUnexpectedEOF|Err[A-Z]\w*|err[A-Z]\w*)$`)
	named := func(e ast.Expr) bool {
		switch e := e.(type) {
		case *ast.SelectorExpr:
			return sentinel.MatchString(e.Sel.Name)
		case *ast.Ident:
			return sentinel.MatchString(e.Name)
		}
		return false
	}
	plain := func(e ast.Expr) bool { x, ok := e.(*ast.Ident); return ok && x.Name == "err" }
	for _, s := range sources(t) {
		ast.Inspect(s.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (plain(n.X) && named(n.Y) || named(n.X) && plain(n.Y)) {
					t.Errorf("%v: use errors.Is", s.fset.Position(n.Pos()))
				}
			case *ast.SwitchStmt:
				if n.Tag != nil && plain(n.Tag) {
					t.Errorf("%v: use errors.Is", s.fset.Position(n.Pos()))
				}
			}
			return true
		})
	}
}

// Only settle*.go acknowledges, hands back, wakes, replies, dead-letters and writes the audit trail.
// What JetStream is told stands in one package, of which others use no more than they are named for.
func TestRules_MessagesAreSettledInOnePlace(t *testing.T) {
	t.Parallel()
	const acks = module + "/worker/internal/ack."
	rooms := regexp.MustCompile(`^worker/(audit/|order/|internal/[a-z]+/)?[^/]+\.go$`)
	settling := regexp.MustCompile(`^worker/settle(_[a-z]+)?\.go$`)
	may := map[string]string{acks + "InProgress": "worker/internal/lease/keeper.go", acks + "Delivery": "worker/order/order.go"}
	names := regexp.MustCompile(`^` + regexp.QuoteMeta(module) + `/(worker/internal/ack\.\w+|outbox/dlq\.(Letter|NoteReplay|StoredBefore)|outbox\.Reply)$`)
	calls := regexp.MustCompile(`\.(Ack|DoubleAck|Nak|NakWithDelay|Term|TermWithReason|Respond|RespondMsg|Encode|depot\.Put)\(|\.config\.Audit\b`)
	wire := regexp.MustCompile("[\"`]([+-](ACK|NAK|TERM|WPI|NXT)|\\$JS\\.ACK)")
	settlers := 0
	for _, s := range sources(t) {
		if s.test || !rooms.MatchString(s.path) {
			continue
		}
		if s.path != "worker/internal/ack/ack.go" && wire.Match(s.text) {
			t.Errorf("%s has %s, which package ack writes", s.path, wire.Find(s.text))
		}
		if settling.MatchString(s.path) {
			settlers++
			continue
		}
		if found := calls.Find(s.text); found != nil {
			t.Errorf("%s has %s, which settle*.go may", s.path, found)
		}
		s.uses(func(name string, at token.Position) {
			if names.MatchString(name) && may[name] != s.path {
				t.Errorf("%v: %s, which settle*.go may", at, name)
			}
		})
	}
	if settlers < 2 {
		t.Errorf("%d files settle", settlers)
	}
}

// Whoever reads this repository has nothing else: no text points to a document that is not
// part of it, and nothing is left for later.
func TestRules_NothingIsCitedThatIsNotHere(t *testing.T) {
	t.Parallel()
	outside := regexp.MustCompile(`\bDESIGN [0-9]|\bDESIGN of\b|\b[Ii]ssue #?[0-9]|(^|[^\w./])(facts|reports|cases)/[a-zA-Z]|\b(SCALE|REDOX2?|OUTBOX|PERF)\.md|\bTODO\b|\bFIXME\b|\bXXX\b`)
	for _, path := range files(t, `\.(go|md|ya?ml|conf|service|txtar)$|^\.ci/|Dockerfile`) {
		if strings.HasSuffix(path, "rules_source_test.go") {
			continue
		}
		text, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(text, []byte("\n")) {
			if outside.Match(line) {
				t.Errorf("%s:%d: %s", path, i+1, bytes.TrimSpace(line))
			}
		}
	}
}

// Every name that a user sees says what it is.
func TestRules_ExportedNamesAreDocumented(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test || s.tree.Name.Name == "main" {
			continue
		}
		for _, d := range s.tree.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && (d.Recv == nil || receiverExported(d)) {
					t.Errorf("%v: %s has no comment", s.fset.Position(d.Pos()), d.Name)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					undocumented(s, d, spec, t)
				}
			}
		}
	}
}

func receiverExported(d *ast.FuncDecl) bool {
	x := d.Recv.List[0].Type
	for {
		switch e := x.(type) {
		case *ast.StarExpr:
			x = e.X
		case *ast.IndexExpr:
			x = e.X
		case *ast.Ident:
			return e.IsExported()
		default:
			return false
		}
	}
}

// undocumented: the comment may be the name's own or that of its group.
func undocumented(s source, d *ast.GenDecl, spec ast.Spec, t *testing.T) {
	var names []*ast.Ident
	commented := d.Doc != nil
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		names, commented = []*ast.Ident{spec.Name}, commented || spec.Doc != nil
	case *ast.ValueSpec:
		names, commented = spec.Names, commented || spec.Doc != nil || spec.Comment != nil
	}
	for _, name := range names {
		if name.IsExported() && !commented {
			t.Errorf("%v: %s has no comment", s.fset.Position(name.Pos()), name)
		}
	}
}

// A comment says of a name what it is or does: the name is its subject.
func TestRules_CommentsBeginWithTheName(t *testing.T) {
	t.Parallel()
	check := func(s source, name string, doc *ast.CommentGroup) {
		words := strings.Fields(doc.Text())
		if len(words) > 1 && (words[0] == "A" || words[0] == "An" || words[0] == "The") {
			words = words[1:]
		}
		if len(words) > 0 && !strings.HasPrefix(words[0], name) {
			t.Errorf("%v: the comment of %s begins with %q", s.fset.Position(doc.Pos()), name, words[0])
		}
	}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.tree.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				check(s, d.Name.Name, d.Doc)
			case *ast.GenDecl:
				if len(d.Specs) != 1 || d.Lparen.IsValid() {
					continue
				}
				switch spec := d.Specs[0].(type) {
				case *ast.TypeSpec:
					check(s, spec.Name.Name, d.Doc)
				case *ast.ValueSpec:
					check(s, spec.Names[0].Name, d.Doc)
				}
			}
		}
	}
}

// A function that does not fit on a screen does more than one thing.
func TestRules_FunctionsAreOfAReadableSize(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		limit := 70
		if s.test {
			limit = 100 // a story told from its beginning to its end
		}
		for _, d := range s.tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > limit {
					t.Errorf("%v: %s has %d lines, the limit is %d", s.fset.Position(f.Pos()), f.Name, n, limit)
				}
			}
		}
	}
}
