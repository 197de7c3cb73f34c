package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/filewatch"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service"
	"github.com/redoxworker/redoxworker/worker/service/httpserve"
)

// keysJWKSCommand makes the set of public keys.
type keysJWKSCommand struct {
	Files  []string    `arg:"" optional:"" name:"key-file" help:"Private keys, FILE or KID=FILE. Default: current and next of every configured key."`
	Key    string      `placeholder:"NAME" help:"Current and next of this configured key only."`
	Out    cli.OutFile `short:"o" placeholder:"FILE" xor:"to" help:"Write the set into a file, which is replaced."`
	Listen string      `placeholder:"HOST:PORT" xor:"to" help:"Serve the set over HTTP until a signal, with cache headers; put TLS before it."`
}

// Run prints the set, or writes or serves it.
func (k keysJWKSCommand) Run(ctx context.Context, a *cli.App) error {
	load, err := k.source(a)
	if err != nil {
		return err
	}
	if k.Listen != "" {
		return k.serve(ctx, a, load)
	}
	keys, _, err := load()
	if err != nil {
		return err
	}
	set, err := auth.JWKS(keys...)
	if err != nil {
		return err
	}
	if k.Out == "" {
		return a.PrintText(set)
	}
	return cli.ReplaceFile(string(k.Out), set)
}

// loadKeys reads the keys, and names the files that they came from.
type loadKeys func() (keys []auth.Key, files []string, err error)

// source is the files that were named, else the configuration.
func (k keysJWKSCommand) source(a *cli.App) (loadKeys, error) {
	if len(k.Files) > 0 && k.Key != "" {
		return nil, cli.Usagef("--key: names a configured key, and key files are given, too; keep one of the two")
	}
	if len(k.Files) > 0 {
		files := make([]string, len(k.Files))
		for i, arg := range k.Files {
			_, files[i] = splitKeyFile(arg)
			if line := auth.Exposure(files[i]); line != "" {
				fmt.Fprintln(a.Stderr, "redoxworker: warning:", line)
			}
		}
		return func() ([]auth.Key, []string, error) {
			keys, err := keysOfFiles(k.Files)
			return keys, files, err
		}, nil
	}
	const skip = config.PartSources | config.PartOrderSecret
	c, err := a.Load(skip) // with its warnings, once
	if err != nil {
		return nil, err
	}
	if k.Key != "" {
		if _, err := only("key", k.Key, c.Keys); err != nil {
			return nil, err
		}
	}
	return func() ([]auth.Key, []string, error) {
		fresh, err := config.Load(config.Options{File: a.Globals.ConfigFile, Environ: a.Environ, Flags: a.Globals.Settings(), Skip: skip})
		if err != nil {
			return nil, nil, err
		}
		keys, err := configuredKeys(fresh, k.Key)
		return keys, c.Files(), err
	}, nil
}

// serve answers with the keys as they are now: files are watched, and what cannot be used
// leaves the set as it was.
func (k keysJWKSCommand) serve(ctx context.Context, a *cli.App, load loadKeys) error {
	keys, files, err := load()
	if err != nil {
		return err
	}
	log := slog.New(a.LogHandler(a.Stderr, a.Globals.LogFormat, slog.LevelInfo))
	var current atomic.Pointer[[]auth.Key]
	current.Store(&keys)
	watcher, err := filewatch.New(files, func() error {
		keys, _, err := load()
		if err == nil {
			current.Store(&keys)
		}
		return err
	}, filewatch.Config{Logger: log})
	if err != nil {
		return err
	}
	if fresh, _, err := load(); err == nil { // for a change since they were read, before the watch began
		keys = fresh
		current.Store(&fresh)
	}
	listener, err := net.Listen("tcp", k.Listen)
	if err != nil {
		return cli.Usagef("--listen: %w; choose another address", err)
	}
	mux := http.NewServeMux()
	mux.Handle(service.PathJWKS, auth.NewJWKSHandler(func() []auth.Key { return *current.Load() }, 0))
	fmt.Fprintf(a.Stderr, "serving %s at http://%s%s until a signal\n", cli.Counted(len(keys), "public key"), listener.Addr(), service.PathJWKS)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watcher.Run(ctx) })
	group.Go(func() error { return httpserve.Serve(ctx, listener, mux, log) })
	return group.Wait()
}
