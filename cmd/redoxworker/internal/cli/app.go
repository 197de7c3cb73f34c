package cli

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// App is what a subcommand has of the world. It is for one goroutine at a time, its streams aside.
type App struct {
	Args    []string // without the name of the program
	Environ []string // as os.Environ returns it
	Stdin   io.Reader
	Stdout  io.Writer // only what was asked for
	Stderr  io.Writer
	Globals Globals // set by Execute
	Hangup  *Hangup // nil in tests
	Version string  // of a release build, such as v1.2.3
	Program string  // what Executable answers; "" is the file of this process
}

// Settings say where the configuration is read from, and which parts of it the command can do without.
func (a *App) Settings(skip config.Parts) config.Options {
	return config.Options{File: a.Globals.ConfigFile, Environ: a.Environ, Flags: a.Globals.Settings(), Skip: skip}
}

// Load reads the configuration and the files of sources_dir, without the parts the command does
// not need, and warns about what is allowed and yet unwise, and of files that cannot be used.
func (a *App) Load(skip config.Parts) (*config.Config, error) {
	options := a.Settings(skip)
	c, err := config.Load(options)
	if err != nil {
		return nil, err
	}
	unusable := access.Unusable
	if skip != 0 {
		unusable = nil // the command needs no keys, or says itself what is wrong with one
	}
	set := config.Combine(c, config.ReadDir(c, options, nil).Parts, nil, unusable)
	for _, w := range set.Warnings {
		fmt.Fprintln(a.Stderr, "redoxworker: warning:", w)
	}
	for _, r := range set.Refused {
		for _, p := range r.Problems {
			fmt.Fprintln(a.Stderr, "redoxworker: warning: left out:", p)
		}
	}
	return set.Config, nil
}

// Env is a variable of the environment the command was started with.
func (a *App) Env(name string) string {
	for i := len(a.Environ) - 1; i >= 0; i-- {
		if value, ok := strings.CutPrefix(a.Environ[i], name+"="); ok {
			return value
		}
	}
	return ""
}

// Executable is the file of this program, to start it again.
func (a *App) Executable() (string, error) {
	if a.Program != "" {
		return a.Program, nil
	}
	return os.Executable()
}
