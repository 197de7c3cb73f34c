package config

import (
	"maps"
	"slices"
	"strings"
)

// Parts names parts of the configuration, to be combined with |.
type Parts uint8

// Parts that a command may do without, see Options.Skip.
const (
	PartKeys        Parts = 1 << iota // keys, and the key of a source
	PartSources                       // sources
	PartOrderSecret                   // order.secret and order.secret_file
)

// Options says where settings come from. All fields may be zero.
type Options struct {
	// File is the path of the YAML file. "" means the variable REDOXWORKER_CONFIG
	// of Environ, and without that no file. Relative paths in the file are
	// relative to its directory, all others to the working directory.
	File string
	// Environ is the environment as os.Environ returns it.
	Environ []string
	// Flags are settings of the command line by dotted key: strings as in the
	// environment, or bool, int, int64, float64, time.Duration and []string.
	Flags map[string]any
	// Skip names what the command does not use: it may be missing or incomplete, and its secret
	// files are not read. What is present must still be well formed.
	Skip Parts
}

// Load reads, merges and checks the settings, and fills in every default. The
// error is of type Problems and holds all of them. Load keeps nothing: call it
// again to reload. It may be called from many goroutines.
func Load(o Options) (*Config, error) {
	l := &loader{skip: o.Skip, merged: map[string]any{}, where: map[string]string{}, failed: map[string]bool{}, files: map[string]bool{},
		credentials: variable(o.Environ, envCredentials)}
	file := l.readFile(configFile(o))
	l.add(file)
	names := map[string][]string{"keys": l.names("keys"), "sources": l.names("sources")}
	for key := range o.Flags {
		if parts := strings.Split(key, "."); isMap(parts[0]) && len(parts) > 2 {
			names[parts[0]] = append(names[parts[0]], parts[1])
		}
	}
	for section := range names {
		slices.Sort(names[section])
		names[section] = slices.Compact(names[section])
	}
	flags := readFlags(o.Flags)
	ours := l.readOwnEnviron(o, names, flags)
	l.add(readNATSEnviron(o.Environ, l.hasPassword() || ours.hasPassword() || flags.hasPassword()))
	l.add(ours)
	l.add(flags)
	if file.broken {
		return nil, Problems(l.problems)
	}
	c := l.decode()
	l.check(c)
	if len(l.problems) > 0 {
		return nil, Problems(l.problems)
	}
	c.meta = meta{origins: l.where, files: slices.Sorted(maps.Keys(l.files)), warnings: l.warnings, skip: o.Skip}
	return c, nil
}

// Defaults returns the default of every setting, without keys and sources.
func Defaults() Config {
	l := &loader{merged: map[string]any{}, failed: map[string]bool{}}
	return *l.decode()
}

func configFile(o Options) string {
	if o.File != "" {
		return o.File
	}
	return variable(o.Environ, envFile)
}

// variable of the environment; of several the last.
func variable(environ []string, name string) (value string) {
	for _, pair := range environ {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}

// meta is what Load knows besides the settings.
type meta struct {
	origins  map[string]string
	files    []string
	warnings []Problem
	skip     Parts
}

// Files returns the paths of all files that were read, or that somebody else
// reads because of a setting: the YAML file, secrets, keys, certificates. Sorted.
func (c *Config) Files() []string { return slices.Clone(c.meta.files) }

// Warnings returns what is unwise but not wrong, such as a private key that
// others may read.
func (c *Config) Warnings() []Problem { return slices.Clone(c.meta.warnings) }

// Origin says what set a key: file:line, "environment NAME", "command line", or
// "default".
func (c *Config) Origin(key string) string {
	if where, ok := c.meta.origins[key]; ok {
		return where
	}
	return "default"
}

// loader merges the layers and collects what is wrong.
type loader struct {
	skip        Parts
	file        string            // the YAML file, as its problems name it
	credentials string            // directory of the files that systemd hands over, or ""
	merged      map[string]any    // dotted key: string or []string; nil of an entry of keys or sources
	where       map[string]string // dotted key or section: the place that set it
	failed      map[string]bool   // keys whose value could not be read
	files       map[string]bool
	problems    []Problem
	warnings    []Problem
	unbounded   bool // all problems count, not the first maxProblems
}

// add puts a layer over those before it.
func (l *loader) add(over *layer) {
	l.problems = append(l.problems, over.problems...)
	for _, p := range over.problems {
		l.failed[p.Key] = true
	}
	for key, value := range over.values {
		if key == natsContext && value == "" {
			continue // takes the place of nothing
		}
		for _, rival := range rivals(key) {
			if _, kept := over.values[rival]; !kept && l.has(rival) {
				delete(l.merged, rival)
				delete(l.where, rival)
			}
		}
	}
	for _, key := range over.entries {
		l.merged[key] = nil
	}
	for key, value := range over.values {
		l.merged[key] = value
		if entry := entryOf(key); entry != "" {
			l.merged[entry] = nil
		}
	}
	maps.Copy(l.where, over.where)
}

func (l *loader) has(key string) bool { _, ok := l.merged[key]; return ok }

func (l *loader) hasPassword() bool { return l.has("nats.password") || l.has("nats.password_file") }

// names returns the entries of keys or sources, sorted.
func (l *loader) names(section string) (names []string) {
	for key := range l.merged {
		if name, ok := strings.CutPrefix(key, section+"."); ok && !strings.Contains(name, ".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// natsContext names servers, too.
const natsContext = "nats.context"

// natsLogins are the ways to log in to NATS, of which one is used, as keys of natsSections.
var natsLogins = [][]string{{"creds", "creds_file"}, {"nkey", "nkey_file"}, {"user", "password", "password_file"}, {"token", "token_file"}}

// natsSections say how to connect to NATS.
var natsSections = []string{"nats", consoleNATS}

// rivals returns the keys that a setting replaces when they were set by a layer
// below: the file for the value, another way to log in, servers.
func rivals(key string) []string {
	if key == natsContext {
		return []string{"nats.url"}
	}
	var out []string
	if f, ok := fieldOf(key); ok {
		if s, ok := f.sibling(); ok {
			section, name, _ := strings.Cut(key, ".")
			name, _, _ = strings.Cut(name, ".")
			if isMap(section) {
				out = append(out, s.named(name))
			} else {
				out = append(out, s.key)
			}
		}
	}
	at := strings.LastIndexByte(key, '.')
	if at < 0 || !slices.Contains(natsSections, key[:at]) {
		return out
	}
	section, name := key[:at+1], key[at+1:]
	if !slices.ContainsFunc(natsLogins, func(login []string) bool { return slices.Contains(login, name) }) {
		return out
	}
	for _, login := range natsLogins {
		if !slices.Contains(login, name) {
			for _, other := range login {
				out = append(out, section+other)
			}
		}
	}
	return out
}

// problem records what is wrong with a key, with the place that set it, or that
// set the nearest section above it.
func (l *loader) problem(key, text, mend string) {
	if len(l.problems) < maxProblems || l.unbounded {
		l.problems = append(l.problems, Problem{Key: key, Text: text, Mend: mend, Where: l.place(key)})
	}
}

func (l *loader) warn(key, text, mend string) {
	l.warnings = append(l.warnings, Problem{Key: key, Text: text, Mend: mend, Where: l.place(key)})
}

func (l *loader) place(key string) string {
	for ; ; key = key[:strings.LastIndex(key, ".")] {
		if where, ok := l.where[key]; ok {
			return where
		}
		if !strings.Contains(key, ".") {
			return ""
		}
	}
}
