// Package sealcmd is the subcommand seal: the ring of keys that messages are sealed with.
package sealcmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

// Commands are about the ring of keys.
type Commands struct {
	NewKey newKeyCommand `cmd:"" name:"new-key" help:"Make a ring of keys with its first key."`
	Ls     lsCommand     `cmd:"" help:"List the keys of the ring, and nothing of their bytes."`
	Rotate rotateCommand `cmd:"" help:"Add a key to the ring, which seals in the place of the one that does now, some minutes later."`
	Rewrap rewrapCommand `cmd:"" help:"Have dead letters opened by the key that seals now; their bodies stay as they are."`
	Shred  shredCommand  `cmd:"" help:"Remove a key for good, with all that it sealed, after a count of that."`
}

// newKeyCommand makes a ring.
type newKeyCommand struct {
	Out cli.OutFile `required:"" placeholder:"FILE" help:"New file, readable by its owner only."`
}

// Run writes a file with one key.
func (c newKeyCommand) Run(a *cli.App) error {
	now := time.Now()
	ks, k := seal.Keys{}.With(now, now)
	f, err := cli.NewFile(string(c.Out), false)
	if err != nil {
		return cli.Usagef("--out: %w; name a file that is not there, or add a key to a ring with seal rotate", err)
	}
	_, err = f.Write(ks.Encode())
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", c.Out, err)
	}
	a.Printf("%s\n", k.ID)
	fmt.Fprintf(a.Stderr, "%s has one key; give it to workers, gateways, publishers and operators (seal.ring_file), and keep a copy: what is sealed is lost without it\n", c.Out)
	return nil
}

// ring is a file of keys that is to be looked at or changed.
type ring struct {
	path string
	keys seal.Keys
	text []byte // that was read
}

// openRing reads the file of a configuration.
func openRing(path string) (ring, error) {
	if path == "" {
		return ring{}, cli.Usagef("seal.ring_file: is not set; name the ring with --set seal.ring_file=FILE")
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ring{}, cli.Usagef("seal.ring_file: %w; make it with `redoxworker seal new-key --out FILE`", err)
	}
	if err != nil {
		return ring{}, cli.Usagef("seal.ring_file: %w", err)
	}
	ks, err := seal.Parse(text)
	if err != nil {
		return ring{}, fmt.Errorf("%s: %w", path, err)
	}
	return ring{path, ks, text}, nil
}

// follow is the ring as the file has it from now on: what is rewrapped must not be sealed by a key that was shredded since
// the ring was read.
func (r ring) follow() (*seal.Ring, error) { return seal.Open(r.path, seal.Options{}) }

// write replaces the file: whoever reads it sees it whole, old or new, and may read it as before.
func (r ring) write(ks seal.Keys) error {
	err := r.replace(ks)
	if err != nil {
		return fmt.Errorf("the ring is not changed: %w", err)
	}
	return nil
}

func (r ring) replace(ks seal.Keys) error {
	text := ks.Encode()
	if _, err := seal.Parse(text); err != nil {
		return err // nobody could read it
	}
	path, err := filepath.EvalSymlinks(r.path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("%w; run this where its directory may be written to, and bring the file from there to all who have it", err)
	}
	_, err = f.Write(text)
	err = errors.Join(err, likeOld(f, info), f.Sync(), f.Close())
	if err == nil {
		err = r.unchanged(path)
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// unchanged refuses to lose a key that somebody else has added meanwhile.
func (r ring) unchanged(path string) error {
	text, err := os.ReadFile(path)
	if err == nil && !bytes.Equal(text, r.text) {
		err = fmt.Errorf("%s was changed meanwhile; run this again", path)
	}
	return err
}

// lsCommand lists keys.
type lsCommand struct{}

// keyRow is a key as --json prints it.
type keyRow struct {
	seal.Key
	State string `json:"state"`
}

// Run needs no connection.
func (c lsCommand) Run(a *cli.App) error {
	settings, err := a.Load(cli.NATSOnly)
	if err != nil {
		return err
	}
	r, err := openRing(settings.Seal.RingFile)
	if err != nil {
		return err
	}
	now := time.Now()
	sealing, _ := r.keys.Sealing(now)
	rows := []keyRow{}
	for _, k := range r.keys.List() {
		row := keyRow{k, "opens"}
		switch {
		case !k.Shredded.IsZero():
			row.State = "shredded"
		case k.ID == sealing.ID:
			row.State = "seals"
		case k.Seals.After(now):
			row.State = "will seal"
		}
		rows = append(rows, row)
	}
	if a.Globals.JSON {
		return cli.EncodeAll(a, rows)
	}
	t := a.NewTable()
	t.AppendHeader(table.Row{"key", "made", "seals from", "state"})
	for _, row := range rows {
		t.AppendRow(table.Row{row.ID, cli.Clock(row.Made), cli.Clock(row.Seals), row.State})
	}
	a.Printf("%s\n", a.Fitted(t, 4))
	return nil
}

// session is a connection, and the ring.
type session struct {
	*cli.Session
	ring
}

func openSession(ctx context.Context, a *cli.App) (*session, error) {
	settings, err := a.Load(cli.NATSOnly)
	if err != nil {
		return nil, err
	}
	r, err := openRing(settings.Seal.RingFile)
	if err != nil {
		return nil, err
	}
	q, err := a.Connect(ctx, settings)
	if err != nil {
		return nil, err
	}
	return &session{q, r}, nil
}
