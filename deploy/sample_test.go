package deploy_test

import (
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// sampleKey is one line of redoxworker.yaml that sets a key or would.
type sampleKey struct {
	path    string // dotted
	value   string
	comment string
	live    bool
	line    int
}

// A commented-out key has no space behind its #; prose has one.
var sampleLine = regexp.MustCompile(`^( *)(#?)([a-z][a-z0-9_-]*):(?: +([^# ].*?))?(?: +# (.*))?$`)

// sampleKeys reads the lines of the sample, commented-out ones too.
func sampleKeys(t *testing.T) []sampleKey {
	t.Helper()
	var keys []sampleKey
	var path []string
	for i, line := range strings.Split(read(t, "redoxworker.yaml"), "\n") {
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			if text := strings.TrimSpace(line); text != "" && text != "#" && !strings.HasPrefix(text, "# ") {
				t.Errorf("line %d is neither a key nor prose: %s", i+1, line)
			}
			continue
		}
		depth := len(m[1]) / 2
		if len(m[1])%2 != 0 || depth > len(path) {
			t.Fatalf("line %d is indented wrongly: %s", i+1, line)
		}
		path = append(path[:depth], m[3])
		if m[4] != "" {
			keys = append(keys, sampleKey{path: strings.Join(path, "."), value: m[4], comment: m[5], live: m[2] == "", line: i})
		}
	}
	return keys
}

var entryName = regexp.MustCompile(`^(keys|sources)\.[^.]+`)

// generic is a path as config.Reference writes it.
func generic(path string) string { return entryName.ReplaceAllString(path, "$1.<name>") }

func TestSample_HasEveryKeyAndItsDefault(t *testing.T) {
	t.Parallel()
	reference := map[string]config.Field{}
	for _, f := range config.Reference() {
		reference[f.Key] = f
	}
	seen := map[string]bool{}
	for _, k := range sampleKeys(t) {
		f, known := reference[generic(k.path)]
		if !known {
			t.Errorf("line %d: %s is no key", k.line+1, k.path)
			continue
		}
		seen[f.Key] = true
		value := strings.Trim(k.value, `"`)
		if value == "[]" {
			value = ""
		}
		switch {
		case strings.HasPrefix(k.path, "keys.old."), f.Required:
		case !k.live && value != f.Default:
			t.Errorf("line %d: %s is commented out with %q; its default is %q", k.line+1, k.path, value, f.Default)
		case k.live && value != f.Default && !strings.HasSuffix(k.path, "private_key_file") && !saysDefault(k.comment, f):
			t.Errorf("line %d: %s is not its default %q, and the comment %q does not say so", k.line+1, k.path, f.Default, k.comment)
		}
	}
	for key := range reference {
		if !seen[key] {
			t.Errorf("%s is missing", key)
		}
	}
}

// saysDefault: inbox_prefix and the like have a default that is worded elsewhere.
func saysDefault(comment string, f config.Field) bool {
	if f.Default == "" {
		return strings.Contains(comment, "default ")
	}
	return strings.Contains(comment, "default "+f.Default)
}

func TestSample_Loads(t *testing.T) {
	t.Parallel()
	c := loadSample(t, nil)
	if w := c.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %v", w)
	}
	if c.NATS.User != workerUser || c.NATS.Password.Reveal() != passwords[workerUser] || c.NATS.Provision != config.ProvisionNever {
		t.Errorf("user %s, provision %s", c.NATS.User, c.NATS.Provision)
	}
	if got := slices.Sorted(maps.Keys(c.Sources)); !slices.Equal(got, []string{clinicA, clinicB}) {
		t.Errorf("sources %v, want those of nats/accounts.conf", got)
	}
}

// The comment on provisioning is right: the environment makes the sample the operator's.
func TestSample_AsOperator(t *testing.T) {
	t.Parallel()
	file := sampleIn(t, nil)
	password := filepath.Join(filepath.Dir(file), "operator-password")
	write(t, password, passwords[operator])
	environ := []string{"REDOXWORKER_NATS_USER=operator", "REDOXWORKER_NATS_INBOX_PREFIX=_INBOX_operator", "REDOXWORKER_NATS_PASSWORD_FILE=" + password}
	for _, setting := range environ[:2] {
		if !strings.Contains(read(t, "redoxworker.yaml"), setting) {
			t.Errorf("the sample does not say %s", setting)
		}
	}
	c, err := config.Load(config.Options{File: file, Environ: environ})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(startSingle(t).ClientURL(), nats.UserInfo(c.NATS.User, c.NATS.Password.Reveal()), nats.CustomInboxPrefix(c.NATS.InboxPrefix))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	top := topology.Topology{Replicas: c.NATS.Replicas}
	if changes, err := top.Ensure(t.Context(), stream(t, nc)); err != nil || len(changes) != 8 {
		t.Errorf("%d changes, %v", len(changes), err)
	}
}

// Each commented-out key that has a default, put in force by itself, changes nothing.
func TestSample_DefaultsAreTheDefaults(t *testing.T) {
	t.Parallel()
	want := loadSample(t, nil)
	tried := 0
	for _, k := range sampleKeys(t) {
		if k.live || strings.Trim(k.value, `"[]`) == "" || strings.HasPrefix(k.path, "keys.old.") {
			continue
		}
		tried++
		got := loadSample(t, func(text string) string {
			lines := strings.Split(text, "\n")
			lines[k.line] = strings.Replace(lines[k.line], "#", "", 1)
			return strings.Join(lines, "\n")
		})
		if diff := cmp.Diff(sections(want), sections(got)); diff != "" {
			t.Errorf("line %d: %s:\n%s", k.line+1, k.path, diff)
		}
	}
	if tried < 30 {
		t.Errorf("%d keys tried", tried)
	}
}

// sections of a config as it is printed, without the folder of its files.
func sections(c *config.Config) string {
	return regexp.MustCompile(`_file: .*/`).ReplaceAllString(string(c.YAML()), "_file: ")
}

// The worker may write to every reply subject that the sample lets it, as NATS sees it.
func TestSample_RepliesArePermitted(t *testing.T) {
	t.Parallel()
	c := loadSample(t, nil)
	opts, err := server.ProcessConfigFile("nats/single.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range c.Reply.Allow {
		for source := range c.Sources {
			subject := strings.ReplaceAll(pattern, "{source}", source)
			if !slices.Contains(permissions(t, opts, workerUser).Publish.Allow, subject) {
				t.Errorf("the worker may not publish to %s", subject)
			}
			inbox := strings.TrimSuffix(subject, ">") + "x"
			if err := (outbox.ReplyPolicy{Allow: c.Reply.Allow}).Check(source, inbox); err != nil {
				t.Errorf("%s: %v", inbox, err)
			}
		}
	}
	if want := c.NATS.InboxPrefix + ".>"; !slices.Contains(permissions(t, opts, workerUser).Subscribe.Allow, want) {
		t.Errorf("the worker may not subscribe to %s", want)
	}
}

func permissions(t *testing.T, opts *server.Options, user string) *server.Permissions {
	t.Helper()
	for _, u := range opts.Users {
		if u.Username == user {
			return u.Permissions
		}
	}
	t.Fatalf("no user %s", user)
	return nil
}

// No file of this folder holds a secret.
func TestFiles_HoldNoSecret(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`(?i)-----BEGIN|\$2a\$\d|\beyJ[A-Za-z0-9_-]{10}|(password|secret|token|nkey|creds|api_key|private_key): +"?[A-Za-z0-9+/]{3}`)
	// automountServiceAccountToken, a parameter's type in Python, prose
	none := regexp.MustCompile(`Token: (true|false)$|secret: bytes[,)]|: ([A-Za-z]+ [a-z]+ |see )`)
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "conformance" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(path, ".go"):
			return nil
		}
		files++
		for i, line := range strings.Split(read(t, path), "\n") {
			if secret.MatchString(line) && !none.MatchString(line) {
				t.Errorf("%s:%d: %s", path, i+1, line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 40 {
		t.Errorf("%d files looked at", files)
	}
}
