package main

import (
	"bytes"
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// The answer to a query is larger than a message may be: the command prints it all the
// same, and what lay in the object store goes, unless it is kept for others.
func TestClaims_LargeAnswer(t *testing.T) {
	t.Parallel()
	far := &largeFar{sim: &redoxsim.Server{}, sums: map[[32]byte]bool{},
		answer: append(append([]byte(`{"Meta":{"DataModel":"PatientSearch","EventType":"Query"},"Filler":"`), bytes.Repeat([]byte("x"), 5<<20)...), `"}`...)}
	far.all = make(chan struct{})
	close(far.all)
	remote := httptest.NewServer(far)
	t.Cleanup(remote.Close)
	s := newStage(t, far.sim, "")
	s.reconfigure(s.far, remote.URL)
	s.run()
	query := filepath.Join(t.TempDir(), "query.json")
	body := `{"Meta":{"DataModel":"PatientSearch","EventType":"Query","Test":true,"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9"}]}}`
	if err := os.WriteFile(query, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	ask := func(flags ...string) {
		t.Helper()
		var out, errs output
		args := append([]string{"request", "--config", s.config, query}, flags...)
		if code := run(context.Background(), cli.App{Args: args, Stdout: &out, Stderr: &errs, Stdin: strings.NewReader("")}); code != 0 {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		if out.String() != string(far.answer) {
			t.Errorf("%d bytes on stdout, want %d", len(out.String()), len(far.answer))
		}
	}
	ask()
	if n := s.queued("OBJ_REDOX_BODIES"); n != 0 {
		t.Errorf("%d messages are left in the object store", n)
	}
	for range 2 { // the second time nobody is asked
		ask("--durable", "--id", "q-1")
	}
	if n := s.queued("OBJ_REDOX_BODIES"); n == 0 {
		t.Error("the body of a stored reply is gone")
	}
}
