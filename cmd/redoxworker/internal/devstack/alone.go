package devstack

import (
	"log/slog"
	"maps"
	"os"
	"strings"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
)

// demo, dev and sim bring everything themselves: of the user's settings they take the log's.

// standsAlone refuses the flags that would mean nothing to such a command.
func standsAlone(a *cli.App, command string) error {
	g := a.Globals
	for _, flag := range []struct{ name, value string }{
		{"config", g.ConfigFile}, {"server", g.Server}, {"creds", g.Creds}, {"nkey", g.Nkey}, {"user", g.User},
		{"context", g.Context}, {"tlsca", g.TLSCA}, {"tlscert", g.TLSCert}, {"tlskey", g.TLSKey},
	} {
		if flag.value != "" {
			return cli.Usagef("--%s: %s brings its own NATS and settings; leave this flag out", flag.name, command)
		}
	}
	if len(g.Set) > 0 && command != "dev" {
		return cli.Usagef("--set: %s has its own settings; leave this flag out, or use dev", command)
	}
	return nil
}

// logSettings are the log's settings of command line and environment over a level of the
// command's own, "" for none.
func logSettings(a *cli.App, level string) (environ []string, flags map[string]any) {
	flags = a.Globals.Settings()
	maps.DeleteFunc(flags, func(key string, _ any) bool { return !strings.HasPrefix(key, "log.") })
	for _, e := range a.Environ {
		if strings.HasPrefix(e, "REDOXWORKER_LOG_") {
			environ = append(environ, e)
		}
	}
	if flags["log.level"] == nil && a.Env("REDOXWORKER_LOG_LEVEL") == "" && level != "" {
		flags["log.level"] = level
	}
	return environ, flags
}

// standaloneLogger is the logger of a command without configuration.
func standaloneLogger(a *cli.App, level string) (*slog.Logger, error) {
	environ, flags := logSettings(a, level)
	c, err := config.Load(config.Options{
		Environ: environ, Flags: flags, Skip: config.PartKeys | config.PartSources | config.PartOrderSecret})
	if err != nil {
		return nil, err
	}
	return a.Logger(c.Log)
}

// programName is how this program is started, for commands to copy.
func programName() string {
	path, err := os.Executable()
	if err == nil && strings.Contains(path, "/go-build") {
		return "go run ./cmd/redoxworker"
	}
	return "redoxworker"
}

// shellWord is a word as a shell takes it, whatever is in it.
func shellWord(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:=@%+,", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
