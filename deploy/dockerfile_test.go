package deploy_test

import (
	"debug/elf"
	"encoding/json"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// instruction of a Dockerfile.
type instruction struct{ name, args string }

// stages of the Dockerfile: instructions up to the next FROM, what precedes the first
// one apart.
func stages(t *testing.T) (global []instruction, all [][]instruction) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(read(t, "Dockerfile")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	for _, line := range strings.Split(strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", " "), "\n") {
		name, args, _ := strings.Cut(line, " ")
		in := instruction{name, strings.Join(strings.Fields(args), " ")}
		switch {
		case name == "FROM":
			all = append(all, []instruction{in})
		case len(all) == 0:
			global = append(global, in)
		default:
			all[len(all)-1] = append(all[len(all)-1], in)
		}
	}
	return global, all
}

// value of the last instruction of a name in a stage.
func value(stage []instruction, name string) string {
	for _, in := range slices.Backward(stage) {
		if in.name == name {
			return in.args
		}
	}
	return ""
}

func TestDockerfile_Image(t *testing.T) {
	t.Parallel()
	_, all := stages(t)
	image := all[len(all)-1]
	if got := image[0].args; got != "scratch" {
		t.Errorf("FROM %s, want scratch", got)
	}
	uid, gid, _ := strings.Cut(value(image, "USER"), ":")
	for _, id := range []string{uid, gid} {
		if n, err := strconv.Atoi(id); err != nil || n < 1000 {
			t.Errorf("USER %s: use numbers of no account of the host, so that runAsNonRoot can be checked", value(image, "USER"))
		}
	}
	var entry, command []string
	if err := json.Unmarshal([]byte(value(image, "ENTRYPOINT")), &entry); err != nil || len(entry) != 1 {
		t.Fatalf("ENTRYPOINT %s: there is no shell", value(image, "ENTRYPOINT"))
	}
	if err := json.Unmarshal([]byte(value(image, "CMD")), &command); err != nil || !slices.Equal(command, []string{"run"}) {
		t.Errorf("CMD %s", value(image, "CMD"))
	}
	if got := value(image, "HEALTHCHECK"); !strings.HasSuffix(got, ` CMD ["`+entry[0]+`", "ready"]`) {
		t.Errorf("HEALTHCHECK %s", got)
	}
	var copies []string
	for _, in := range image {
		switch in.name {
		case "COPY":
			copies = append(copies, in.args)
		case "RUN", "ADD", "VOLUME", "SHELL":
			t.Errorf("%s %s in an image from scratch", in.name, in.args)
		}
	}
	want := []string{"--from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt", "--from=build /out/redoxworker " + entry[0]}
	if !slices.Equal(copies, want) {
		t.Errorf("the image holds %q, want %q", copies, want)
	}
}

func TestDockerfile_GoVersionOfTheModule(t *testing.T) {
	t.Parallel()
	global, all := stages(t)
	if got := all[0][0].args; !strings.HasPrefix(got, "--platform=$BUILDPLATFORM golang:${GO_VERSION}-") {
		t.Errorf("FROM %s", got)
	}
	directive := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	if got := strings.TrimPrefix(value(global, "ARG"), "GO_VERSION="); directive == nil || got != directive[1] {
		t.Errorf("GO_VERSION %s, want that of go.mod: %v", got, directive)
	}
}

func TestDockerfile_NoSecrets(t *testing.T) {
	t.Parallel()
	_, all := stages(t)
	for _, in := range slices.Concat(all...) {
		if in.name != "ARG" && in.name != "ENV" {
			continue
		}
		if name := strings.ToUpper(in.args); regexp.MustCompile(`PASSWORD|SECRET|TOKEN|PRIVATE|CREDS|NKEY|API_KEY`).MatchString(name) {
			t.Errorf("%s %s would stay in the image", in.name, in.args)
		}
	}
}

// The builder gets every package of the command, and nothing but a list of folders.
func TestDockerignore(t *testing.T) {
	t.Parallel()
	var rules []string
	for line := range strings.Lines(read(t, "Dockerfile.dockerignore")) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			rules = append(rules, line)
		}
	}
	if len(rules) == 0 || rules[0] != "*" {
		t.Fatalf("it begins with %v: leave everything out first", rules)
	}
	for _, kept := range []string{"go.mod", "go.sum"} {
		if !slices.Contains(rules, "!"+kept) {
			t.Errorf("%s is left out", kept)
		}
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", "./cmd/redoxworker")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range strings.Fields(string(out)) {
		dir, _, _ := strings.Cut(strings.TrimPrefix(path, "github.com/redoxworker/redoxworker/"), "/")
		if !slices.Contains(rules, "!"+dir) {
			t.Errorf("%s is left out and the build needs %s", dir, path)
		}
	}
}

func checkStatic(t *testing.T, binary string, machine elf.Machine) {
	t.Helper()
	f, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("it is a program for %v, want %v", f.Machine, machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %s: it needs a loader", p.Type)
		}
	}
	if libs, err := f.ImportedLibraries(); err != nil || len(libs) != 0 {
		t.Errorf("it needs %v, %v", libs, err)
	}
	if f.Section(".debug_info") != nil {
		t.Error("it has debug information")
	}
}
