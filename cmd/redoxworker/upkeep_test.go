package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// status runs the command and returns what it prints.
func (s *stage) status() string {
	s.Helper()
	var stdout, stderr bytes.Buffer
	a := cli.App{Args: []string{"status", "--config", s.config}, Stdout: &stdout, Stderr: &stderr, Stdin: strings.NewReader("")}
	if code := run(context.Background(), a); code != 0 {
		s.Fatalf("status: exit code %d: %s", code, stderr.String())
	}
	return stdout.String()
}

// A worker that may not provision says what is missing and what to do, on /readyz, in status
// and in its log, goes on, and is whole again when somebody has provisioned.
func TestRun_SaysWhatIsMissingWhereItMayNotProvision(t *testing.T) {
	t.Parallel()
	v := &survivor{what: "KV_REDOX_STATE"}
	v.stage = newStage(t, &redoxsim.Server{}, "quota: {requests: 4000, per: 2s}\n")
	v.reconfigure("nats: {url:", "nats: {provision: never, url:")
	topology := topology.Topology{}
	_, err := topology.Ensure(t.Context(), v.js)
	v.must(err)
	running := v.run()
	v.log = running.err.String
	p, r := v.publisher(), row{}
	v.send(p, true, &r)
	v.drained(v.log)

	v.must(v.js.DeleteKeyValue(t.Context(), "REDOX_STATE"))
	const mend = "bucket REDOX_STATE does not exist: run `redoxworker provision`"
	said := func(text string) func() bool {
		return func() bool { return strings.Contains(strings.Join(v.readiness().Problems, "\n"), text) }
	}
	v.eventually("the bucket is named", said(mend), v.log)
	v.eventually("the share is named", said("this worker goes on within its share of"), v.log)
	v.send(p, true, &r)
	v.drained(v.log)
	if !v.readiness().Ready {
		t.Error("not ready")
	}
	if text := v.status(); !strings.Contains(text, "! "+mend) {
		t.Errorf("status says:\n%s", text)
	}
	if text := running.err.String(); !strings.Contains(text, "bucket REDOX_STATE is missing") {
		t.Errorf("the log says:\n%s", text)
	}

	_, err = topology.Ensure(t.Context(), v.js)
	v.must(err)
	v.eventually("nothing is wrong", func() bool { return len(v.readiness().Problems) == 0 }, v.log)
	if text := v.status(); strings.Contains(text, "problems") {
		t.Errorf("status says:\n%s", text)
	}
}

// Status shows the rest when what workers share is damaged.
func TestStatus_WithADamagedState(t *testing.T) {
	t.Parallel()
	v := &survivor{what: "KV_REDOX_STATE"}
	v.stage = newStage(t, &redoxsim.Server{}, "quota: {requests: 4000, per: 2s}\n")
	_, err := (topology.Topology{}).Ensure(t.Context(), v.js)
	v.must(err)
	kv, err := v.js.KeyValue(t.Context(), "REDOX_STATE")
	v.must(err)
	for _, key := range []string{"pauses", quota.Key("default")} {
		_, err = kv.Put(t.Context(), key, []byte("garbage"))
		v.must(err)
	}
	text := v.status()
	for _, want := range []string{"? not known: pauses: ", "? not known: the use of the quota: ", "\nqueue     0 messages\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "delete") {
		t.Errorf("a mend that hurts:\n%s", text)
	}
}
