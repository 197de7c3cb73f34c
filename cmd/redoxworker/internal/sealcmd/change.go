package sealcmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// rotateCommand adds a key.
type rotateCommand struct {
	After time.Duration `default:"10m" placeholder:"TIME" help:"How long until the new key seals: by then every worker, gateway and operator must have the new file."`
	cli.Why
}

// Run writes the ring with one key more.
func (c rotateCommand) Run(ctx context.Context, a *cli.App) error {
	if c.After < 0 {
		return cli.Usagef("--after: %s is no time from now; use 10m, or 0s for at once", c.After)
	}
	s, err := openSession(ctx, a)
	if err != nil {
		return err
	}
	defer s.Close()
	record, err := s.Recorder()
	if err != nil {
		return err
	}
	if err := s.unwrapped(); err != nil {
		return err
	}
	now := time.Now()
	ks, k := s.keys.With(now, now.Add(c.After))
	deed := audit.Deed{Action: audit.SealRotate, Detail: "key " + k.ID + " seals from " + k.Seals.Format(time.RFC3339), Reason: c.Reason}
	if err := record.Do(ctx, deed, func(context.Context) error { return s.write(ks) }); err != nil {
		return err
	}
	a.Printf("%s\n", k.ID)
	fmt.Fprintf(a.Stderr, "%s seals from %s; bring %s to all who open before then, or what it seals is held\n", k.ID, cli.Clock(k.Seals), s.path)
	return nil
}

// unwrapped refuses a ring with keys that a KMS has wrapped: they do not open here, and one that is added would be in
// the clear beside them.
func (r ring) unwrapped() error {
	for _, k := range r.keys.List() {
		if k.Shredded.IsZero() && k.KMS != "" {
			return fmt.Errorf("%s: key %s is wrapped by a KMS (%.60q), which this command does not have; in the program that has it, seal.Keys.WithWrapped adds a key, and dlq.Store.Rewrap rewraps", r.path, k.ID, k.KMS)
		}
	}
	return nil
}

// rewrapCommand has dead letters opened by the newest key.
type rewrapCommand struct {
	DryRun bool `name:"dry-run" help:"Count, and change nothing."`
	Force  bool `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

// Run looks at every dead letter. It can be interrupted and repeated.
func (c rewrapCommand) Run(ctx context.Context, a *cli.App) error {
	s, err := openSession(ctx, a)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.unwrapped(); err != nil {
		return err
	}
	sealing, ok := s.keys.Sealing(time.Now())
	if !ok {
		return fmt.Errorf("%s: %w yet", s.path, seal.ErrNoKey)
	}
	counts, err := s.countLetters(ctx)
	if err != nil {
		return s.Explain(err)
	}
	others := counts.total() - counts[sealing.ID]
	if c.DryRun || others == 0 {
		fmt.Fprintf(a.Stderr, "%s of other keys than %s, which seals; nothing was changed\n", cli.Counted(others, "dead letter"), sealing.ID)
		return nil
	}
	if err := a.Confirm(ctx, fmt.Sprintf("%s would be opened by key %s instead of their own", cli.Counted(others, "dead letter"), sealing.ID), c.Force); err != nil {
		return err
	}
	record, err := s.Recorder()
	if err != nil {
		return err
	}
	ring, err := s.follow()
	if err != nil {
		return err
	}
	if _, sealing = ring.Keys(); sealing.ID == "" {
		return fmt.Errorf("%s: %w yet", s.path, seal.ErrNoKey)
	}
	letters, err := dlq.New(s.JS, dlq.Config{Prefix: s.Prefix, Ring: ring})
	if err != nil {
		return err
	}
	begun, err := record.Begin(ctx, audit.Deed{Action: audit.SealRewrap, Count: others, Detail: "key " + sealing.ID, Reason: c.Reason})
	if err != nil {
		return err
	}
	result := audit.Result{Counts: map[string]int{}}
	result.Err = rewrap(ctx, a, letters, result.Counts)
	fmt.Fprintf(a.Stderr, "%s rewrapped, %d closed for good, %d gone meanwhile\n", cli.Counted(result.Counts["rewrapped"], "dead letter"), result.Counts["closed"], result.Counts["gone"])
	return errors.Join(s.Explain(result.Err), begun.End(ctx, result))
}

func rewrap(ctx context.Context, a *cli.App, letters *dlq.Store, counts map[string]int) error {
	for l, err := range letters.List(ctx, dlq.Query{}) {
		if errors.As(err, new(*dlq.UnreadableError)) {
			continue
		}
		if err != nil {
			return err
		}
		done, err := letters.Rewrap(ctx, l)
		switch {
		case errors.Is(err, dlq.ErrNotFound):
			counts["gone"]++
		case seal.Decided(err):
			counts["closed"]++
			fmt.Fprintf(a.Stderr, "redoxworker: warning: message %s of source %s: %v\n", cli.Printable(l.MessageID), l.Source, err)
		case err != nil:
			return err
		case done:
			counts["rewrapped"]++
		}
	}
	return nil
}

// shredCommand removes a key.
type shredCommand struct {
	Key    string `arg:"" help:"Id of the key, as seal ls shows it."`
	DryRun bool   `name:"dry-run" help:"Count what it would make unreadable, and change nothing."`
	Force  bool   `help:"Do not ask. Needed where there is no terminal."`
	cli.Why
}

// Run counts, asks, and rewrites the ring.
func (c shredCommand) Run(ctx context.Context, a *cli.App) error {
	s, err := openSession(ctx, a)
	if err != nil {
		return err
	}
	defer s.Close()
	ks, err := s.keys.Shred(c.Key, time.Now())
	if err != nil {
		return err
	}
	found, err := s.count(ctx, c.Key)
	if err != nil {
		return s.Explain(err)
	}
	fmt.Fprintf(a.Stderr, "sealed with key %s: %s; not counted: rows of SQL outboxes, copies elsewhere, and dead letters that were exported\n", c.Key, found)
	if c.DryRun {
		return nil
	}
	if err := a.Confirm(ctx, "they could never be read again, by nobody", c.Force); err != nil {
		return err
	}
	record, err := s.Recorder()
	if err != nil {
		return err
	}
	deed := audit.Deed{Action: audit.SealShred, Count: found.total(), Detail: "key " + c.Key + ": " + found.String(), Reason: c.Reason}
	if err := record.Do(ctx, deed, func(context.Context) error { return s.write(ks) }); err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "key %s is removed from %s; it is shredded when every copy of the old file is gone, backups too\n", c.Key, s.path)
	return nil
}
