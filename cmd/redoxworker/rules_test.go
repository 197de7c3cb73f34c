package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// The rules of this repository that a machine can check.

const module = "github.com/redoxworker/redoxworker"

// goList describes the packages of the module.
func goList(t *testing.T) map[string]listedPackage {
	t.Helper()
	command := exec.Command("go", "list", "-deps", "-json=ImportPath,Doc,Imports,Deps,GoFiles,Dir,Module", "./...")
	command.Dir = "../.."
	out, err := command.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %s", exit.Stderr)
		}
		t.Fatal(err)
	}
	packages := map[string]listedPackage{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if rest, ok := strings.CutPrefix(p.ImportPath, module); ok {
			packages[strings.TrimPrefix(rest, "/")] = p
		}
	}
}

type listedPackage struct {
	ImportPath, Doc, Dir   string
	Imports, Deps, GoFiles []string
}

func TestRules_EveryPackageHasADoc(t *testing.T) {
	t.Parallel()
	for name, p := range goList(t) {
		if len(p.GoFiles) > 0 && len(p.Doc) < 20 {
			t.Errorf("package %s has no doc", name)
		}
	}
}

// What an embedder links must stay light.
func TestRules_LibrariesLinkNoServerCommandLineOrTestHelper(t *testing.T) {
	t.Parallel()
	packages := goList(t)
	forbidden := []string{"github.com/nats-io/nats-server/", "github.com/alecthomas/kong", "testing", "database/sql",
		"github.com/jackc/pgx", "modernc.org/sqlite", "github.com/go-sql-driver/mysql", "go.opentelemetry.io/otel/sdk",
		module + "/worker/redoxsim", module + "/worker/workertest", module + "/outbox/natsdev", module + "/outbox/internal/outboxtest"}
	for _, name := range []string{"outbox", "outbox/contract", "outbox/seal", "outbox/topology", "outbox/dlq", "outbox/gateway", "outbox/lint", "outbox/asyncapi", "outbox/uploads", "outbox/fhirpages", "outbox/bulkexport", "auth", "auth/filewatch", "auth/smart", "worker", "worker/audit", "worker/operate", "worker/order", "worker/overview", "worker/redox", "worker/redox/platform", "worker/redox/reconcile", "worker/quota", "config",
		"outbox/sqloutbox", "outbox/sqloutbox/pgxtx", "worker/service", "worker/service/access", "worker/service/natslink", "worker/service/httpserve", "worker/service/buildinfo", "worker/service/registry", "worker/service/feed", "worker/service/signin", "worker/console", "worker/console/access", "worker/console/access/oidc"} {
		p, ok := packages[name]
		if !ok {
			t.Errorf("no package %s", name)
		}
		for _, dep := range p.Deps {
			if name != "outbox/lint" && strings.HasPrefix(dep, "github.com/santhosh-tekuri/jsonschema/") {
				t.Errorf("package %s links %s, which whoever wants no lint does not need", name, dep)
			}
			if slices.ContainsFunc(forbidden, func(f string) bool {
				if f == "database/sql" && usesSQL(name) || f == "github.com/jackc/pgx" && name == "outbox/sqloutbox/pgxtx" {
					return false
				}
				return dep == f || strings.HasSuffix(f, "/") && strings.HasPrefix(dep, f) || strings.HasPrefix(dep, f+"/") && f != "testing"
			}) {
				t.Errorf("package %s links %s", name, dep)
			}
		}
	}
}

// usesSQL reports whether a library may link database/sql. None links a driver.
func usesSQL(name string) bool {
	return strings.HasPrefix(name, "outbox/sqloutbox") || name == "worker/service" || name == "worker/console"
}

// Imports run one way: cmd → worker/service → {config, auth, worker/redox, worker, outbox};
// worker → outbox and what is beneath it; redox → outbox. auth/secret, the texts that must not be seen, and
// auth/httpanswer, the labels of answers, are below all of them. What is internal serves the
// package above it.
func TestRules_ImportsRunOneWay(t *testing.T) {
	t.Parallel()
	allowed := map[string][]string{
		"outbox": {"outbox/contract", "auth/secret", "outbox/seal"}, "outbox/contract": {"outbox/internal/jsapi", "outbox/internal/wire"}, "outbox/seal": {"outbox/internal/shown"},
		"outbox/topology":  {"outbox/contract", "outbox/internal/jsapi", "outbox/internal/streams", "outbox/internal/wire"},
		"outbox/dlq":       {"outbox", "outbox/contract", "outbox/seal", "outbox/internal/jsapi", "outbox/internal/publish", "outbox/internal/shown", "outbox/internal/streams", "outbox/internal/wire"},
		"outbox/gateway":   {"outbox", "outbox/contract", "outbox/seal", "outbox/internal/jsapi", "outbox/internal/publish", "outbox/internal/shown", "outbox/internal/wire", "outbox/logsample"},
		"outbox/oteltrace": {}, "outbox/lint": {"outbox", "outbox/contract"}, "outbox/asyncapi": {"outbox/contract"}, "outbox/uploads": {"outbox/contract", "outbox/internal/jsapi"}, "outbox/fhirpages": {"outbox", "outbox/contract", "outbox/internal/shown"}, "outbox/bulkexport": {"outbox", "outbox/contract", "outbox/seal", "outbox/internal/shown"},
		"outbox/sqloutbox": {"outbox", "outbox/contract", "outbox/seal", "outbox/internal/jsapi", "outbox/internal/publish", "outbox/internal/shown"}, "outbox/sqloutbox/pgxtx": {"outbox/sqloutbox"},
		"outbox/sqloutbox/internal/sqltest": {"outbox", "outbox/contract", "outbox/seal", "outbox/internal/jsapi", "outbox/natsdev", "outbox/sqloutbox", "outbox/topology"},
		// What is internal to outbox knows no type of it.
		"outbox/internal/jsapi": nil, "outbox/internal/streams": nil, "outbox/internal/wire": {"auth/secret"}, "outbox/internal/shown": {"outbox/internal/wire"},
		"outbox/internal/publish":    {"outbox/internal/jsapi", "outbox/internal/streams", "outbox/internal/wire"},
		"outbox/internal/outboxtest": {"outbox/internal/jsapi", "outbox/internal/streams", "outbox/internal/wire", "outbox/natsdev"},
		"outbox/logsample":           nil, "outbox/servertime": nil, "auth/secret": nil, "auth": {"auth/secret", "auth/httpanswer"}, "auth/prom": {"auth"}, "auth/smart": {"auth", "auth/httpanswer", "auth/internal/answer", "auth/internal/guard", "auth/internal/remote"}, "auth/filewatch": {"auth/internal/guard"},
		"auth/internal/answer": {"auth/secret"}, "auth/internal/guard": nil, "auth/internal/remote": {"auth/internal/answer", "auth/internal/guard"}, "auth/internal/keyfile": {"auth/secret", "auth/internal/answer"}, "auth/httpanswer": nil, "config": {"auth/secret"}, "worker/redoxsim": nil, "worker/redoxsim/internal/jsonread": nil, "worker/redoxsim/internal/assertion": {"worker/redoxsim/internal/jsonread"}, "worker/redoxsim/internal/fhirpath": nil, "worker/redoxsim/internal/synthetic": nil, "outbox/natsdev": nil,
		"auth/xoauth2": {"auth"}, "worker": {"worker/audit", "outbox", "outbox/contract", "outbox/seal", "outbox/dlq", "outbox/topology", "outbox/logsample", "outbox/servertime"}, "worker/workertest": {"outbox", "outbox/contract", "outbox/dlq", "outbox/topology", "outbox/natsdev", "auth", "worker", "worker/redox", "worker/redoxsim"},
		"worker/workertest/bubble": nil, "worker/workertest/nodejs": nil, "worker/workertest/chaos": nil, "worker/quota": {"outbox/contract", "outbox/logsample"},
		"worker/internal/tally": {"outbox", "outbox/contract"}, "worker/internal/meter": {"outbox", "outbox/contract", "worker/internal/tally"}, "worker/internal/limit": nil, "worker/internal/backoff": nil, "worker/audit": {"outbox", "outbox/contract", "worker/internal/bucket"},
		"worker/internal/ledger": {"outbox", "outbox/contract", "outbox/dlq", "worker/internal/bucket"}, "worker/internal/ack": nil, "worker/internal/suspects": {"worker/internal/backoff", "worker/internal/lease"}, "worker/internal/failpoint": nil, "worker/internal/replies": {"outbox/topology", "worker/internal/backoff", "worker/internal/bucket"}, "worker/internal/lease": {"worker/internal/ack"}, "worker/internal/deadline": nil, "worker/internal/guard": nil,
		"worker/internal/pull": {"outbox/contract"}, "worker/internal/heads": {"outbox/contract"}, "worker/internal/advisory": {"outbox/contract"}, "worker/internal/verdict": {"outbox", "outbox/contract", "worker/internal/backoff", "worker/internal/lease", "worker/internal/ledger"},
		"worker/operate":  {"outbox", "outbox/contract", "outbox/seal", "outbox/dlq", "worker", "worker/audit", "worker/order", "worker/internal/ledger"},
		"worker/order":    {"outbox", "outbox/contract", "worker/internal/ack", "worker/internal/bucket", "worker/internal/ledger"},
		"worker/overview": {"auth", "outbox", "outbox/contract", "outbox/dlq", "outbox/topology", "worker", "worker/internal/tally", "worker/order", "worker/quota"},
		"worker/redox":    {"outbox", "outbox/contract", "outbox/logsample", "auth/httpanswer", "worker/internal/guard", "worker/redox/internal/answer", "worker/redox/internal/httpwire", "worker/redox/internal/jsonscan"},
		// What is internal to redox knows no message.
		"worker/redox/internal/httpwire": nil, "worker/redox/internal/jsonscan": nil, "worker/redox/internal/answer": {"auth/httpanswer", "worker/redox/internal/jsonscan"},
		"worker/redox/platform": {"outbox", "outbox/contract", "auth/httpanswer"}, "worker/redox/reconcile": {"outbox", "outbox/contract", "outbox/dlq", "outbox/logsample", "worker/redox/platform", "worker/internal/backoff"},
		"worker/internal/breaker": {"outbox/servertime", "worker/internal/bucket"}, "worker/internal/bucket": nil,
		"worker/service": {"config", "auth", "outbox", "outbox/contract", "outbox/seal", "outbox/sqloutbox", "outbox/dlq", "outbox/gateway", "outbox/topology", "outbox/uploads", "outbox/logsample", "worker", "worker/audit", "worker/overview", "worker/quota", "worker/redox", "worker/redox/platform", "worker/redox/reconcile",
			"worker/service/access", "worker/service/natslink", "worker/service/httpserve", "worker/service/buildinfo", "worker/service/feed", "worker/internal/backoff", "worker/internal/tally"},
		"worker/service/access":    {"config", "auth", "auth/prom", "auth/filewatch", "worker", "worker/redox", "worker/redox/platform", "worker/service/buildinfo", "worker/service/internal/pemfile"},
		"worker/service/natslink":  {"config", "outbox/logsample", "worker/service/internal/pemfile"},
		"worker/service/registry":  {"config", "outbox/contract", "worker/audit"},
		"worker/service/feed":      {"auth/filewatch", "config", "outbox", "outbox/contract", "worker/service/registry"},
		"worker/service/httpserve": nil, "worker/service/buildinfo": nil, "worker/service/internal/pemfile": {"config"},
		"worker/console/access": {"auth/secret", "outbox/logsample"}, "worker/console/access/oidc": {"auth/secret", "worker/console/access"},
		"worker/service/signin": {"auth/filewatch", "auth/secret", "config", "worker/console/access", "worker/console/access/oidc", "worker/service/internal/pemfile"},
		"worker/console":        {"config", "outbox", "outbox/contract", "outbox/dlq", "outbox/logsample", "outbox/seal", "outbox/sqloutbox", "outbox/topology", "worker", "worker/audit", "worker/console/access", "worker/operate", "worker/order", "worker/overview", "worker/redox", "worker/service/registry"},
	}
	inside := []string{"internal/cli", "internal/signincmd", "internal/usagecmd", "internal/wirecmd", "internal/sqlcmd", "internal/consolecmd", "internal/statuscmd", "internal/checkcmd", "internal/dlqcmd", "internal/opscmd", "internal/provisioncmd", "internal/sealcmd", "internal/telemetry", "internal/daemon", "internal/devstack", "internal/bench", "internal/clitest"}
	packages := goList(t)
	for name, p := range packages {
		may, known := allowed[name]
		if own, ok := strings.CutPrefix(name, "cmd/redoxworker/"); ok {
			at := slices.Index(inside, own)
			for _, dep := range p.Imports {
				if other, ok := strings.CutPrefix(dep, module+"/cmd/redoxworker/"); ok && !slices.Contains(inside[:max(at, 0)], other) {
					t.Errorf("package %s imports %s", name, other)
				}
			}
			if at < 0 {
				t.Errorf("package %s is not in the layout", name)
			}
		}
		if slices.Contains(p.Imports, module+"/cmd/redoxworker/internal/clitest") {
			t.Errorf("package %s imports clitest, which is for tests", name)
		}
		if strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "deploy") {
			continue
		}
		if !known {
			t.Errorf("package %s is not in the layout", name)
		}
		for _, dep := range p.Imports {
			if own, ok := strings.CutPrefix(dep, module+"/"); ok && !slices.Contains(may, own) && !strings.HasPrefix(own, name+"/internal/") {
				t.Errorf("package %s imports %s", name, own)
			}
		}
	}
	// Whoever wants tokens alone links no client of Prometheus and watches no files.
	for _, dep := range packages["auth"].Deps {
		if strings.HasPrefix(dep, "github.com/prometheus/") || strings.HasPrefix(dep, "github.com/fsnotify/") || strings.HasPrefix(dep, "google.golang.org/protobuf") {
			t.Errorf("auth links %s", dep)
		}
	}
	// Whoever signs people in otherwise links no OpenID Connect.
	for _, dep := range packages["worker/console/access"].Deps {
		if strings.HasPrefix(dep, "github.com/coreos/go-oidc") || strings.HasPrefix(dep, "golang.org/x/oauth2") || strings.HasPrefix(dep, "github.com/nats-io/") {
			t.Errorf("worker/console/access links %s", dep)
		}
	}
	// The simulator shares nothing with what it checks, and outbox needs no other module than NATS.
	for _, name := range []string{"outbox", "outbox/contract", "outbox/seal", "outbox/topology", "outbox/dlq", "outbox/gateway", "outbox/uploads", "outbox/bulkexport"} {
		for _, dep := range packages[name].Imports {
			if strings.Contains(dep, ".") && !strings.HasPrefix(dep, "github.com/nats-io/nats.go") && !strings.HasPrefix(dep, module+"/") {
				t.Errorf("%s imports %s", name, dep)
			}
		}
	}
}

func TestRules_TopLevel(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	fixed := []string{"go.mod", "go.sum", "cmd", "worker", "outbox", "auth", "config", "deploy", "README.md", "LICENSE"}
	for _, e := range entries {
		if name := e.Name(); name[0] != '.' && !slices.Contains(fixed, name) {
			t.Errorf("%s stands at the top level", name)
		}
	}
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "\nreplace") {
		t.Error("go.mod replaces a module: nobody who imports this one would get that")
	}
}

// Whoever opens a folder sees at once what is there.
func TestRules_PackagesAreOfAReadableSize(t *testing.T) {
	t.Parallel()
	for name, p := range goList(t) {
		if n := len(p.GoFiles); n > 30 {
			t.Errorf("package %s has %d files, the limit is 30: what is one idea of them is a package inside of it", name, n)
		}
	}
}

func TestRules_FilesAreOfAReadableSize(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		limit := 400
		if strings.HasSuffix(path, "_test.go") {
			limit = 500
		}
		if n := bytes.Count(text, []byte("\n")); n > limit {
			t.Errorf("%s has %d lines, the limit is %d", path, n, limit)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Every command line that the README shows is one that the command understands, and its
// first two are those that set everything up.
func TestRules_ReadmeCommandsExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^(?:\$ )?((?:go run \./cmd/redoxworker|redoxworker|go test) .*)$`).FindAllStringSubmatch(string(text), -1)
	if len(lines) < 5 || lines[0][1] != "go run ./cmd/redoxworker demo" || lines[1][1] != testCommand(t) {
		t.Fatalf("the README does not begin with the demo and %q: %q", testCommand(t), lines)
	}
	for _, line := range lines {
		rest, ok := strings.CutPrefix(strings.TrimPrefix(line[1], "go run ./cmd/"), "redoxworker ")
		if !ok {
			continue
		}
		args := shellWords(regexp.MustCompile(`[#|>].*`).ReplaceAllString(rest, ""))
		var c rootCommand
		parser, err := kong.New(&c, kong.Vars{}, kong.Exit(func(int) {}))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parser.Parse(args); err != nil && !strings.Contains(err.Error(), "no such file") {
			t.Errorf("README: %q: %v", line[1], err)
		}
	}
}

// shellWords splits at spaces outside of double quotes.
func shellWords(line string) []string {
	var words []string
	for _, word := range regexp.MustCompile(`(?:"[^"]*"|\S)+`).FindAllString(line, -1) {
		words = append(words, strings.ReplaceAll(word, `"`, ""))
	}
	return words
}

// testCommand is the one that CI runs.
func testCommand(t *testing.T) string {
	t.Helper()
	f, err := os.Open("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if line := strings.TrimSpace(lines.Text()); strings.HasPrefix(line, "go test ") && !strings.Contains(line, "-bench") && !strings.Contains(line, "-race") {
			return line
		}
	}
	t.Fatal("CI runs no plain test command")
	return ""
}
