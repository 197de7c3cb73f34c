package sqloutbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A Listener that fails, or panics, is called again after 1, 2, 4, ... s, less up to a fifth; the log
// says it once, and that it listens again. One that listens wakes the relay.
func TestRelay_Listens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		box, err := New(Postgres, Config{Notify: true, Table: "app_outbox"})
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		var called []time.Duration
		began := time.Now()
		r := &Relay{box: box, log: slog.New(slog.NewTextHandler(&log, nil)), config: RelayConfig{
			Listen: func(ctx context.Context, _ *sql.DB, channel string, kick func()) error {
				called = append(called, time.Since(began))
				switch {
				case channel != "app_outbox":
					t.Errorf("channel %s", channel)
				case len(called) == 1:
					return errors.New("no such host")
				case len(called) == 2:
					panic("anything")
				case len(called) > 3:
					kick()
					<-ctx.Done()
				}
				return errors.New("gone")
			}}}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { r.listen(ctx); close(ended) }()
		<-box.kick
		cancel()
		<-ended
		steps := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}
		if !slices.EqualFunc(called, steps, func(have, want time.Duration) bool { return have <= want && have >= want*4/5 }) {
			t.Errorf("called after %v, want about %v", called, steps)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "no such host") || !strings.Contains(log.String(), "listening to the database again") {
			t.Errorf("%d lines: %s", n, log.String())
		}
	})
}

// What cannot work is refused at once.
func TestNewRelay_ListenNeedsNotify(t *testing.T) {
	t.Parallel()
	silent, err := New(Postgres, Config{})
	if err != nil {
		t.Fatal(err)
	}
	none := func(context.Context, *sql.DB, string, func()) error { return nil }
	if err := (RelayConfig{Listen: none}).fits(silent, new(sql.DB)); err == nil || !strings.Contains(err.Error(), "has no Notify") {
		t.Errorf("an outbox that does not notify: %v", err)
	}
	box, err := New(Postgres, Config{Notify: true})
	if err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int]string{0: "", 1: "needs 3", 2: "needs 3", 3: ""} {
		db := sql.OpenDB(nil)
		db.SetMaxOpenConns(most)
		if err := (RelayConfig{Listen: none}).fits(box, db); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%d connections: %v", most, err)
		}
	}
}
