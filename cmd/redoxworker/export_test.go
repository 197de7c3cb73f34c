package main

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox/bulkexport"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// fetched counts the requests for files of an export.
func (s *stage) fetched() (n int) {
	for _, a := range s.sim.Arrivals() {
		if strings.HasSuffix(a.Path, ".ndjson") {
			n++
		}
	}
	return n
}

// command runs a command line in this process.
func (s *stage) command(args ...string) (code int, out, errs string) {
	s.Helper()
	a, stdout, stderr := clitest.App(args...)
	code = run(context.Background(), *a)
	return code, stdout.String(), stderr.String()
}

// Files that the server keeps on another host come into a bucket, directly and without a token, where
// that host is allowed. Resources that could not be exported are a failure, of which nothing is missing.
func TestExport_ToABucketFromAnotherHost(t *testing.T) {
	t.Parallel()
	sim := &redoxsim.Server{Export: redoxsim.Export{Resources: 30, FileLines: 20, Issues: 1, Polls: -1}}
	files := httptest.NewServer(sim.Files())
	t.Cleanup(files.Close)
	sim.Export.FilesURL = files.URL
	s := newStage(t, sim, "")
	s.run()
	bucket, err := s.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "exports"})
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"export", "--config", s.config, "--path", "hospital/Development/$export", "--type", "Patient,Observation", "--bucket", "exports", "--folder", "today"}
	code, _, errs := s.command(args...)
	if code != 1 || !strings.Contains(errs, `is on another host, "127.0.0.1": allow it (AllowHosts, --allow-host)`) || strings.Contains(errs, files.URL) {
		t.Fatalf("exit %d: %s", code, errs)
	}
	code, out, errs := s.command(append(args, "--allow-host", strings.TrimPrefix(files.URL, "http://"))...)
	if code != 1 || !strings.Contains(errs, "1 errors") || !strings.Contains(errs, "complete: 5 files, 61 lines") || !strings.Contains(out, "Patient-0002.ndjson") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if text, err := bucket.GetString(t.Context(), "today/Patient-0001.ndjson"); err != nil || strings.Count(text, "\n") != 20 {
		t.Errorf("%d lines, %v", strings.Count(text, "\n"), err)
	}
	if n := s.fetched(); n != 0 {
		t.Errorf("%d files were asked for with a token", n)
	}
}

// The head of the table comes once, also above files in which nothing is.
func TestPrintExport_EmptyFiles(t *testing.T) {
	t.Parallel()
	a, stdout, _ := clitest.App()
	r := bulkexport.Result{Complete: true}
	for _, name := range []string{"Patient-0001.ndjson", "Patient-0002.ndjson", "Patient-0003.ndjson"} {
		r.Files = append(r.Files, bulkexport.File{Name: name, Kind: bulkexport.Output, Type: "Patient"})
	}
	if err := printExport(a, r); err != nil || strings.Count(stdout.String(), "FILE") != 1 || strings.Count(stdout.String(), "\n") != 4 {
		t.Errorf("%v\n%s", err, stdout)
	}
}
