package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	sourceOfB = "sources:\n  clinic-b: {id: 11111111-2222-3333-4444-555555555555, key: main}\n"
	sourceOfC = "sources:\n  clinic-c: {id: 11111111-2222-3333-4444-666666666666, key: extra, hold: [Order.*]}\n"
	keyExtra  = "keys:\n  extra: {client_id: client-2, kid: kid-2, private_key_file: ../key.pem}\n"
)

// beside is a main file with a directory of sources, and what was read of it so far.
type beside struct {
	t       testing.TB
	dir     string
	options Options
	main    *Config
	read    *Dir
	set     *Set
}

func newBeside(t testing.TB, environ ...string) *beside {
	t.Helper()
	file := writeConfig(t, minimal+"sources_dir: sources.d\n")
	b := &beside{t: t, dir: filepath.Join(filepath.Dir(file), "sources.d"), options: Options{File: file, Environ: environ}}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *beside) write(name, text string) { b.t.Helper(); write(b.t, b.dir, name, text) }

func (b *beside) remove(name string) {
	b.t.Helper()
	if err := os.Remove(filepath.Join(b.dir, name)); err != nil {
		b.t.Fatal(err)
	}
}

// look reads everything, as a worker does after a change.
func (b *beside) look(more ...Part) *Set {
	b.t.Helper()
	if b.main == nil {
		b.main = mustLoad(b.t, b.options)
	}
	b.read = ReadDir(b.main, b.options, b.read)
	b.set = Combine(b.main, append(slices.Clone(b.read.Parts), more...), b.set, nil)
	return b.set
}

// expect fails unless these are the sources, and the lines of what is refused begin so.
func (b *beside) expect(s *Set, sources string, refused ...string) {
	b.t.Helper()
	var names, lines []string
	for name := range s.Config.Sources {
		names = append(names, name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != sources {
		b.t.Errorf("sources %s, want %s", got, sources)
	}
	for _, r := range s.Refused {
		for _, p := range r.Problems {
			lines = append(lines, fmt.Sprintf("%s kept=%v %s", filepath.Base(r.Part), r.Kept, strings.ReplaceAll(p.String(), b.dir+"/", "")))
		}
	}
	if len(lines) != len(refused) {
		b.t.Fatalf("refused %q, want %q", lines, refused)
	}
	for i, want := range refused {
		if !strings.HasPrefix(lines[i], want) {
			b.t.Errorf("refused %q, want %q", lines[i], want)
		}
	}
}

func TestReadDir_FilesAddSourcesAndKeys(t *testing.T) {
	t.Parallel()
	b := newBeside(t)
	b.expect(b.look(), "clinic-a") // an empty directory
	b.write("10-b.yaml", sourceOfB)
	b.write("20-c.yml", sourceOfC)
	b.write("keys.yaml", keyExtra) // after the file that uses it
	b.write(".hidden.yaml", "no: settings")
	b.write("30-old.yaml.bak", "no: settings")
	s := b.look()
	b.expect(s, "clinic-a clinic-b clinic-c")
	if s.From("clinic-b") != filepath.Join(b.dir, "10-b.yaml") || s.From("clinic-a") != "" {
		t.Errorf("clinic-b is from %q, clinic-a from %q", s.From("clinic-b"), s.From("clinic-a"))
	}
	if k := s.Config.Keys["extra"]; k.Audience != b.main.Redox.TokenURL || !k.PrivateKey.IsSet() || k.PrivateKeyFile != filepath.Join(b.dir, "../key.pem") {
		t.Errorf("key %+v", k)
	}
	if c := s.Config.Sources["clinic-c"]; c.Environment != EnvironmentDevelopment || c.OnUnknown != OnUnknownResend || len(c.Hold) != 1 {
		t.Errorf("source %+v", c)
	}
	if where := s.Config.Origin("sources.clinic-b.key"); where != filepath.Join(b.dir, "10-b.yaml")+":2" {
		t.Errorf("clinic-b's key is from %s", where)
	}
	if len(b.main.Sources) != 1 || len(b.main.Keys) != 1 {
		t.Error("the main configuration was changed")
	}
	b.remove("10-b.yaml")
	b.expect(b.look(), "clinic-a clinic-c")
}

func TestReadDir_ABadFileKeepsItsLastState(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"not YAML":            {"sources: {clinic-b: {id: [", "not valid YAML"},
		"half written":        {sourceOfB[:40], "config: not valid YAML"},
		"empty":               {"", "names no source and no key"},
		"blank":               {"# nothing\n", "names no source and no key"},
		"unknown key":         {sourceOfB + "  clinic-d: {idd: x}\n", "sources.clinic-d.idd: unknown key"},
		"a fixed setting":     {sourceOfB + "worker: {concurrency: 9}\n", "worker.concurrency: is fixed while the worker runs"},
		"a secret in it":      {sourceOfB + "keys: {k: {type: legacy, api_key: \"a\", secret: \"x\"}}\n", "keys.k.api_key: is a secret, and stands in a file"},
		"no such key":         {strings.ReplaceAll(sourceOfB, "main", "mian"), "sources.clinic-b.key: no key is called \"mian\"; did you mean main?"},
		"no such key file":    {sourceOfB + strings.ReplaceAll(keyExtra, "key.pem", "none.pem"), "keys.extra.private_key_file: file"},
		"other environment":   {strings.ReplaceAll(sourceOfB, "main", "main, environment: production"), "sources.clinic-b.key: key main already serves sources.clinic-a in development"},
		"a name that is none": {sourceOfB + "  Clinic: {key: main}\n", "sources.Clinic: \"Clinic\" is not a name"},
	} {
		b := newBeside(t)
		b.write("b.yaml", tc.text)
		b.write("z.yaml", strings.ReplaceAll(sourceOfC, "extra", "main"))
		bad := b.look().Refused // at the start there is no state before
		if len(bad) == 0 || bad[0].Kept || b.set.Config.Sources["clinic-b"].ID != "" || b.set.Config.Sources["clinic-c"].ID == "" {
			t.Errorf("%s: at the start: %v, %v", name, bad, b.set.Config.Sources)
		}
		b.write("b.yaml", sourceOfB)
		b.expect(b.look(), "clinic-a clinic-b clinic-c")
		b.write("b.yaml", tc.text)
		for range 2 { // and it stays so
			s := b.look()
			if len(s.Refused) != 1 || !s.Refused[0].Kept || !strings.Contains(s.Refused[0].Problems[0].String(), tc.want) {
				t.Errorf("%s: refused %v, want %q", name, s.Refused, tc.want)
			}
			if len(s.Config.Sources) != 3 || s.Config.Sources["clinic-b"].Key != "main" {
				t.Errorf("%s: sources %v", name, s.Config.Sources)
			}
		}
		b.write("b.yaml", strings.ReplaceAll(sourceOfB, "1111", "2222"))
		s := b.look()
		b.expect(s, "clinic-a clinic-b clinic-c")
		if !strings.HasPrefix(s.Config.Sources["clinic-b"].ID, "2222") {
			t.Errorf("%s: the mended file is not in use", name)
		}
	}
}

func TestReadDir_ConfigMapSwapAndBack(t *testing.T) {
	t.Parallel()
	b := newBeside(t)
	for revision, text := range map[string]string{"..1": sourceOfB, "..2": "sources: {clinic-b: {id: x", "..3": strings.ReplaceAll(sourceOfB, "clinic-b", "clinic-d")} {
		if err := os.Mkdir(filepath.Join(b.dir, revision), 0o700); err != nil {
			t.Fatal(err)
		}
		b.write(revision+"/b.yaml", text)
	}
	swap := func(revision string) {
		t.Helper()
		tmp := filepath.Join(b.dir, "..data_tmp")
		if err := os.Symlink(revision, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(b.dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	swap("..1")
	if err := os.Symlink("..data/b.yaml", filepath.Join(b.dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	b.expect(b.look(), "clinic-a clinic-b")
	swap("..2")
	b.expect(b.look(), "clinic-a clinic-b", "b.yaml kept=true config: not valid YAML")
	swap("..1")
	b.expect(b.look(), "clinic-a clinic-b")
	swap("..3")
	b.expect(b.look(), "clinic-a clinic-d")
	swap("..1")
	b.expect(b.look(), "clinic-a clinic-b")
	if err := os.Remove(filepath.Join(b.dir, "..data")); err != nil { // a link that leads nowhere
		t.Fatal(err)
	}
	b.expect(b.look(), "clinic-a clinic-b", `b.yaml kept=true file "`)
}

func TestReadDir_TheDirectoryGoesAndComes(t *testing.T) {
	t.Parallel()
	b := newBeside(t)
	b.write("b.yaml", sourceOfB)
	b.expect(b.look(), "clinic-a clinic-b")
	if err := os.Rename(b.dir, b.dir+".away"); err != nil {
		t.Fatal(err)
	}
	b.expect(b.look(), "clinic-a clinic-b")
	if p := b.read.Problem; p == nil || !strings.Contains(p.String(), "sources_dir: directory") || !strings.Contains(p.String(), "does not exist") {
		t.Errorf("problem %v", p)
	}
	if err := os.Mkdir(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.expect(b.look(), "clinic-a")
	if b.read.Problem != nil {
		t.Errorf("problem %v", b.read.Problem)
	}
}

func TestReadDir_EnvironmentGoesOverFiles(t *testing.T) {
	t.Parallel()
	b := newBeside(t, "REDOXWORKER_KEYS_NEXT_KEY_PRIVATE_KEY="+newPEM(t), "REDOXWORKER_SOURCES_CLINIC_B_ENVIRONMENT=development", "REDOXWORKER_KEYS_MAIN_POOL=3")
	b.write("b.yaml", "keys: {next-key: {client_id: c, kid: k}}\n"+strings.ReplaceAll(sourceOfB, "main}", "next-key, environment: production}"))
	s := b.look()
	b.expect(s, "clinic-a clinic-b")
	if s.Config.Sources["clinic-b"].Environment != EnvironmentDevelopment || !s.Config.Keys["next-key"].PrivateKey.IsSet() || s.Config.Keys["main"].Pool != 3 {
		t.Errorf("%+v, %+v", s.Config.Sources, s.Config.Keys)
	}
	if len(b.main.Keys) != 1 {
		t.Errorf("the main file has keys %v", b.main.Keys)
	}
	wrong := newBeside(t, "REDOXWORKER_KEYS_NOBODY_PRIVATE_KEY=x") // that of no file is half a key, as ever
	if lines := problemsOf(t, wrong.options); !strings.Contains(strings.Join(lines, "\n"), "keys.nobody.client_id: is missing") {
		t.Errorf("%q", lines)
	}
}

func TestLoad_SourcesDir(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal+"sources_dir: none\n")
	if lines := problemsOf(t, Options{File: file}); len(lines) != 1 || !strings.HasPrefix(lines[0], "sources_dir: directory ") {
		t.Errorf("%q", lines)
	}
	mustLoad(t, Options{File: file, Skip: PartSources | PartKeys})
	dir := t.TempDir() // with it, or with the registry, the main file needs no sources
	c := mustLoad(t, Options{Flags: map[string]any{"sources_dir": dir}})
	if c.SourcesDir != dir || len(c.Sources) != 0 {
		t.Errorf("%+v", c)
	}
	if lines := problemsOf(t, Options{Flags: map[string]any{"registry": true}}); len(lines) != 1 || !strings.HasPrefix(lines[0], "keys: no key") {
		t.Errorf("%q", lines)
	}
	if d := ReadDir(mustLoad(t, Options{File: writeConfig(t, minimal)}), Options{}, nil); len(d.Parts) != 0 || d.Problem != nil {
		t.Errorf("without sources_dir: %+v", d)
	}
}

// BenchmarkReadDir reads 5,000 files, the first time and after a change of one.
func BenchmarkReadDir(b *testing.B) {
	dir := newBeside(b)
	for i := range 5_000 {
		dir.write(fmt.Sprintf("%04d.yaml", i), fmt.Sprintf("sources: {clinic-%04d: {id: 00000000-0000-0000-0000-%012d, key: main}}", i, i))
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			dir.read, dir.set = nil, nil
			dir.look()
		}
	})
	b.Run("again", func(b *testing.B) {
		for b.Loop() {
			dir.look()
		}
	})
	if n := len(dir.set.Config.Sources); n != 5_001 || len(dir.set.Refused) > 0 {
		b.Fatalf("%d sources, refused %v", n, dir.set.Refused)
	}
}
