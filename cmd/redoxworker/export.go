package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/bulkexport"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service"
)

// exportCommand gets a FHIR bulk export through the queue.
type exportCommand struct {
	Source string `placeholder:"NAME" help:"Source to ask as. Default: the only one configured."`
	Path   string `required:"" placeholder:"PATH" help:"What to export: SLUG/Production/$$export, …/Patient/$$export or …/Group/ID/$$export. Quote the $$ in a shell."`

	Type         []string  `placeholder:"TYPE" help:"Types of resources (_type). Default: all."`
	Since        time.Time `placeholder:"TIME" help:"Only what has changed since then (_since), RFC 3339: the transaction time of the last export."`
	TypeFilter   []string  `sep:"none" name:"type-filter" placeholder:"QUERY" help:"A search that resources of a type must match (_typeFilter), such as 'Observation?category=laboratory'; may be repeated."`
	Elements     []string  `placeholder:"NAME" help:"Elements that resources are cut down to (_elements)."`
	OutputFormat string    `name:"output-format" placeholder:"TYPE" help:"Form of the files (_outputFormat). Default: none is asked for, which means NDJSON."`
	Param        []string  `sep:"none" placeholder:"NAME=VALUE" help:"Another parameter of the export; may be repeated."`
	Post         bool      `help:"Send the parameters in the body of a POST, where no gateway logs them."`

	Dir    string `xor:"to" placeholder:"DIR" help:"Directory for the files, for their owner alone; it is made. The same command goes on where an earlier one was stopped."`
	Bucket string `xor:"to" placeholder:"NAME" help:"Bucket of a NATS object store for the files, instead of a directory."`
	Folder string `placeholder:"NAME" help:"What their names in the bucket begin with: one for each export."`

	AllowHost []string      `name:"allow-host" placeholder:"HOST" help:"Host from which files may be fetched directly and without a token, where the server keeps them elsewhere; may be repeated."`
	Parallel  int           `default:"4" placeholder:"N" help:"How many files are fetched at once."`
	Wait      time.Duration `default:"5m" placeholder:"DURATION" help:"How long one request may take, 9m at most."`
	Patience  time.Duration `default:"1h" placeholder:"DURATION" help:"How long trouble is borne that may pass."`
	Timeout   time.Duration `placeholder:"DURATION" help:"How long all of it may take. Default: for ever."`
	Cancel    bool          `help:"Have the server forget the export. What is here stays."`
}

// Run gets the export, goes on with it, or cancels it.
func (x exportCommand) Run(ctx context.Context, a *cli.App) error {
	request, err := x.request()
	if err != nil {
		return err
	}
	m := messageFlags{Source: x.Source, Path: x.Path, Kind: string(outbox.KindFHIR), Header: []string{"Prefer: respond-async"}}
	c, source, err := m.loadSource(a, true)
	if err != nil {
		return err
	}
	log, err := a.Logger(c.Log)
	if err != nil {
		return err
	}
	conn, js, err := cli.ConnectOnce(ctx, c, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	if x.Timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, x.Timeout, fmt.Errorf("it took longer than %s", x.Timeout))
		defer cancel()
		ctx = limited
	}
	store, unlock, err := x.store(ctx, js)
	if err != nil {
		return err
	}
	defer unlock()
	shown := newExportProgress(a)
	cfg, err := x.config(c, source, request, store, shown.show)
	if err != nil {
		return err
	}
	e, err := bulkexport.New(js, cfg)
	if err != nil {
		return cli.Usagef("%w", err)
	}
	if x.Cancel {
		return x.cancel(ctx, a, e)
	}
	result, err := e.Run(ctx)
	shown.end(err)
	return x.report(ctx, a, result, explainExport(conn, err))
}

// request checks the flags that say what is exported.
func (x exportCommand) request() (bulkexport.Request, error) {
	r := bulkexport.Request{
		Path: x.Path, Types: x.Type, Since: x.Since, Filters: x.TypeFilter, Elements: x.Elements, OutputFormat: x.OutputFormat, Post: x.Post,
	}
	for _, p := range x.Param {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return r, cli.Usagef("--param: it has no name or no =; write NAME=VALUE")
		}
		if r.More == nil {
			r.More = url.Values{}
		}
		r.More.Add(name, value)
	}
	switch {
	case x.Dir == "" && x.Bucket == "":
		return r, cli.Usagef("--dir: say where the files go, or name a --bucket")
	case x.Folder != "" && x.Bucket == "":
		return r, cli.Usagef("--folder: it belongs to --bucket; give that too")
	case x.Timeout < 0:
		return r, cli.Usagef("--timeout: %s is no time to take; use 12h, say", x.Timeout)
	}
	if err := r.Validate(); err != nil {
		return r, cli.Usagef("%w", err)
	}
	return r, nil
}

func (x exportCommand) config(c *config.Config, source string, r bulkexport.Request, store bulkexport.Store, show func(bulkexport.Progress)) (bulkexport.Config, error) {
	cfg := bulkexport.Config{
		Source: source, Request: r, Store: store, Prefix: contract.Prefix(c.NATS.Prefix), AllowHosts: x.AllowHost,
		Parallel: x.Parallel, Wait: x.Wait, Patience: x.Patience, Progress: show,
	}
	if c.Order.Secret.IsSet() {
		cfg.OrderSecret = []byte(c.Order.Secret.Reveal())
	}
	var err error
	cfg.Ring, err = service.OpenRing(c, nil)
	cfg.RequireSeal = c.Seal.Require
	return cfg, err
}

// store opens the place for the files. No other process may use a directory at the same time.
func (x exportCommand) store(ctx context.Context, js jetstream.JetStream) (bulkexport.Store, func(), error) {
	if x.Bucket != "" {
		bucket, err := js.ObjectStore(ctx, x.Bucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			return nil, nil, cli.Usagef("--bucket: there is no bucket of this name; make it with `nats object add %s`", x.Bucket)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("--bucket: %w", err)
		}
		store, err := bulkexport.NewBucket(bucket, x.Folder)
		return store, func() {}, err
	}
	dir, err := bulkexport.OpenDir(x.Dir)
	if err != nil {
		return nil, nil, cli.Usagef("--dir: %w", err)
	}
	lock, err := cli.LockFile(filepath.Join(x.Dir, "export.lock"))
	if errors.Is(err, cli.ErrLocked) {
		return nil, nil, cli.Usagef("--dir: another process is exporting to %s; wait for it, or name another directory", x.Dir)
	}
	if err != nil {
		return nil, nil, cli.Usagef("--dir: %w", err)
	}
	return dir, func() { closeQuietly(lock) }, nil
}

// closeQuietly ends a lock, which the end of the process does as well.
func closeQuietly(c io.Closer) { _ = c.Close() }

func (x exportCommand) cancel(ctx context.Context, a *cli.App, e *bulkexport.Export) error {
	if err := e.Cancel(ctx); err != nil {
		return exportUsage(err)
	}
	fmt.Fprintln(a.Stderr, "redoxworker: the server was told to forget the export; the files that are here stay")
	return nil
}

// explainExport adds what the server says to the connection alone.
func explainExport(conn *nats.Conn, err error) error {
	if last := conn.LastError(); err != nil && errors.Is(last, nats.ErrPermissionViolation) && !errors.Is(err, outbox.ErrPermission) {
		return fmt.Errorf("%w (last refused by NATS: %w)", err, last)
	}
	return err
}

// exportUsage makes a mistake in the command line of an error that is one.
func exportUsage(err error) error {
	var refused *outbox.ContractError
	switch {
	case errors.Is(err, bulkexport.ErrOther), errors.Is(err, bulkexport.ErrNotBegun):
		return cli.Usagef("%w", err)
	case errors.As(err, &refused):
		return flagError(err, "--path")
	}
	return err
}
