package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadEnviron_EveryKey(t *testing.T) {
	t.Parallel()
	for _, f := range fields {
		for _, names := range []map[string][]string{nil, {"keys": {"my-key-2"}, "sources": {"my-key-2"}}} {
			key := f.named("my-key-2")
			l := readEnviron([]string{envName(key) + "=x"}, names)
			diff(t, map[string]any{key: "x"}, l.values)
			if len(l.problems) > 0 {
				t.Errorf("%s: %v", key, l.problems)
			}
		}
	}
}

func TestReadEnviron_NamesAreDistinct(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, f := range Reference() {
		if other := seen[f.Env]; other != "" {
			t.Errorf("%s means %s and %s", f.Env, other, f.Key)
		}
		seen[f.Env] = f.Key
	}
}

func TestReadEnviron_Names(t *testing.T) {
	t.Parallel()
	names := map[string][]string{"keys": {"main", "main-next", "a-secret"}, "sources": {"clinic", "clinic-a"}}
	for _, tt := range []struct {
		name, env string
		names     map[string][]string
		want      []string
	}{
		{"longest field of an unknown name", "KEYS_PROD_NEXT_KID", names, []string{"keys.prod.next.kid"}},
		{
			"known name over the longest field",
			"KEYS_MAIN_NEXT_KID",
			map[string][]string{"keys": {"main-next"}},
			[]string{"keys.main-next.kid"},
		},
		{"two known names", "KEYS_MAIN_NEXT_KID", names, []string{"keys.main-next.kid", "keys.main.next.kid"}},
		{"field with the end of a name", "KEYS_A_SECRET_SECRET_FILE", names, []string{"keys.a-secret.secret_file"}},
		{"nothing before the field", "SOURCES_ID", names, nil},
		{
			"name that begins like another",
			"SOURCES_CLINIC_A_ON_UNKNOWN",
			names,
			[]string{"sources.clinic-a.on_unknown"},
		},
		{"new name", "SOURCES_CLINIC_B_KEY", names, []string{"sources.clinic-b.key"}},
		{"lower case", "sources_clinic_id", names, nil},
		{"no field", "SOURCES_CLINIC_A_COLOUR", names, nil},
		{"dot in the name", "SOURCES_A.B_ID", names, nil},
		{"static", "NATS_TLS_CA_FILE", names, []string{"nats.tls.ca_file"}},
	} {
		got := envKeys(envPrefix+tt.env, tt.names)
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %s means %v, want %v", tt.name, tt.env, got, tt.want)
		}
	}
}

func TestLoad_EnvironmentAlone(t *testing.T) {
	t.Parallel()
	pem := newPEM(t)
	c := mustLoad(t, Options{Environ: []string{
		"REDOXWORKER_KEYS_MAIN_CLIENT_ID=c", "REDOXWORKER_KEYS_MAIN_KID=k",
		"REDOXWORKER_KEYS_MAIN_PRIVATE_KEY=" + strings.ReplaceAll(pem, "\n", `\n`),
		"REDOXWORKER_SOURCES_CLINIC_A_ID=7ce6f387-c33c-417d-8682-81e83628cbd9",
		"REDOXWORKER_SOURCES_CLINIC_A_KEY=main",
		"REDOXWORKER_SOURCES_CLINIC_A_HOLD=Order.*, Notes.New,",
		"REDOXWORKER_GATEWAY_ENABLED=false",
	}})
	diff(t, Source{ID: "7ce6f387-c33c-417d-8682-81e83628cbd9", Key: "main", Environment: "development", SlugGuard: "on", OnUnknown: "resend", Hold: []string{"Order.*", "Notes.New"}}, c.Sources["clinic-a"])
	if got := c.Keys["main"].PrivateKey.Reveal(); strings.TrimSpace(got) != strings.TrimSpace(pem) {
		t.Error("the PEM text with \\n did not get its line breaks back")
	}
	if c.Gateway.Enabled {
		t.Error("gateway is enabled")
	}
}

func TestLoad_NamesFromFlagsAreKnownToTheEnvironment(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, Options{
		Environ: []string{"REDOXWORKER_KEYS_MAIN_NEXT_KID=k2"},
		Flags:   map[string]any{"keys.main-next.client_id": "c", "keys.main-next.private_key": newPEM(t)},
		Skip:    PartSources,
	})
	if got := slices.Collect(maps.Keys(c.Keys)); !slices.Equal(got, []string{"main-next"}) || c.Keys["main-next"].KID != "k2" {
		t.Errorf("keys: %v", c.Keys)
	}
}

func TestLoad_UnknownVariables(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, Options{
		File: writeConfig(t, minimal),
		Environ: []string{"REDOXWORKER_NATS_ULR=hunter2", "REDOXWORKER_NATS_TLS=x", "REDOXWORKER_SOURCES_CLINIC_A_COLOUR=", "REDOXWORKER_SOURCES_CLINIC_A_ON_UNKNWON=hold",
			"REDOXWORKER_CONFIG=x", "REDOXWORKERS=1", "redoxworker_x=1", "REDOXWORKER_ZZZZ=1"},
	})
	diff(t, []string{
		"REDOXWORKER_NATS_TLS: unknown environment variable; it names a section; set the keys below it, such as REDOXWORKER_NATS_TLS_CA_FILE",
		"REDOXWORKER_NATS_ULR: unknown environment variable; did you mean REDOXWORKER_NATS_URL?",
		"REDOXWORKER_SOURCES_CLINIC_A_COLOUR: unknown environment variable; unset it; a key's variable is REDOXWORKER_ and the key in upper case with _ for . and -",
		"REDOXWORKER_SOURCES_CLINIC_A_ON_UNKNWON: unknown environment variable; did you mean REDOXWORKER_SOURCES_CLINIC_A_ON_UNKNOWN?",
		"REDOXWORKER_ZZZZ: unknown environment variable; unset it; a key's variable is REDOXWORKER_ and the key in upper case with _ for . and -",
	}, got)
}

func TestLoad_KubernetesServiceVariablesAreIgnored(t *testing.T) {
	t.Parallel()
	environ := []string{"REDOXWORKER_SERVICE_HOST=10.0.0.1", "REDOXWORKER_SERVICE_PORT=8466", "REDOXWORKER_SERVICE_PORT_HTTP=8466", "REDOXWORKER_PORT=tcp://10.0.0.1:8466",
		"REDOXWORKER_PORT_8466_TCP=tcp://10.0.0.1:8466", "REDOXWORKER_PORT_8466_TCP_PROTO=tcp", "REDOXWORKER_PORT_8466_TCP_PORT=8466", "REDOXWORKER_PORT_8466_TCP_ADDR=10.0.0.1",
		"REDOXWORKER_ADMIN_SERVICE_HOST=10.0.0.1", "REDOXWORKER_ADMIN_PORT_8466_TCP=tcp://10.0.0.1:8466"}
	mustLoad(t, Options{File: writeConfig(t, minimal), Environ: environ})
}

func TestReadNATSEnviron(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		environ  []string
		password bool
		want     map[string]any
	}{
		{"all", []string{"NATS_URL=u", "NATS_CREDS=c", "NATS_NKEY=n", "NATS_CONTEXT=x", "NATS_CA=a", "NATS_CERT=e", "NATS_KEY=k"}, false,
			map[string]any{"nats.url": "u", "nats.creds_file": "c", "nats.nkey_file": "n", "nats.context": "x", "nats.tls.ca_file": "a", "nats.tls.cert_file": "e", "nats.tls.key_file": "k"}},
		{
			"user and password",
			[]string{"NATS_USER=u", "NATS_PASSWORD=p"},
			false,
			map[string]any{"nats.user": "u", "nats.password": "p"},
		},
		{
			"user alone is a token",
			[]string{"NATS_USER=u", "NATS_PASSWORD="},
			false,
			map[string]any{"nats.token": "u"},
		},
		{"user with a password of the file", []string{"NATS_USER=u"}, true, map[string]any{"nats.user": "u"}},
		{"empty and others", []string{"NATS_URL=", "NATS_COLOR=x", "NATS_PORT=tcp://1"}, false, map[string]any{}},
	} {
		diff(t, tt.want, readNATSEnviron(tt.environ, tt.password).values)
	}
}

// The user of the nats tool may have its password from anywhere.
func TestLoad_PasswordOfTheNATSUser(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal)
	secret := filepath.Join(filepath.Dir(file), "secret.txt")
	for name, o := range map[string]Options{
		"ours":         {Environ: []string{"REDOXWORKER_NATS_PASSWORD=p"}},
		"ours, a file": {Environ: []string{"REDOXWORKER_NATS_PASSWORD_FILE=" + secret}},
		"command line": {Flags: map[string]any{"nats.password_file": secret}},
	} {
		o.File, o.Environ = file, append(o.Environ, "NATS_USER=u")
		if c, err := Load(o); err != nil || c.NATS.User != "u" || !c.NATS.Password.IsSet() || c.NATS.Token.IsSet() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A context names servers: it takes the place of those of a layer below, and none above.
func TestLoad_ServersOfAContext(t *testing.T) {
	t.Parallel()
	url, both := "nats: {url: nats://file}\n", "nats: {url: nats://file, context: file}\n"
	for name, tt := range map[string]struct {
		file string
		o    Options
		want string // where the servers are from
	}{
		"context over the file's servers":     {url, Options{Environ: []string{"NATS_CONTEXT=x"}}, "default"},
		"context over the variable's servers": {url, Options{Environ: []string{"NATS_URL=nats://x"}, Flags: map[string]any{"nats.context": "x"}}, "default"},
		"servers over the file's context":     {both, Options{Flags: map[string]any{"nats.url": "nats://x"}}, "command line"},
		"both at once":                        {"", Options{Environ: []string{"NATS_CONTEXT=x", "NATS_URL=nats://x"}}, "environment NATS_URL"},
		"no context":                          {url, Options{Flags: map[string]any{"nats.context": "", "worker.concurrency": 1}}, "file"},
	} {
		tt.o.File = writeConfig(t, minimal+tt.file)
		got := mustLoad(t, tt.o).Origin("nats.url")
		if strings.HasPrefix(got, tt.o.File) {
			got = "file"
		}
		if got != tt.want {
			t.Errorf("%s: servers from %s, want %s", name, got, tt.want)
		}
	}
}

func TestLoad_OursOverNATSVariablesOverFile(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal+"nats: {url: nats://file, context: file}\n")
	c := mustLoad(t, Options{File: file, Environ: []string{"NATS_URL=nats://tool", "NATS_CONTEXT=tool", "REDOXWORKER_NATS_URL=nats://ours"}})
	if c.NATS.URL.Reveal() != "nats://ours" || c.NATS.Context != "tool" {
		t.Errorf("url %s, context %s", c.NATS.URL, c.NATS.Context)
	}
}
