package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// A fleet of 5,000 sources, of which one has many order keys: what waits is counted where it is
// stored, and a source without a consumer is none the less there.
func TestStatus_OfThousandsOfSources(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	if _, err := (topology.Topology{}).Ensure(t.Context(), s.js); err != nil {
		t.Fatal(err)
	}
	var p outbox.Prefix
	var subjects []string
	for i := range 5000 {
		subjects = append(subjects, p.SendSubject(fmt.Sprintf("clinic-%04d", i)))
	}
	for i := range 2000 {
		subjects = append(subjects, p.OrderedSubject("clinic-0007", fmt.Sprintf("%032x", i)))
	}
	subjects = append(subjects, p.OrderedSubject("clinic-0008", "no-token"), p.RequestSubject("clinic-0009"))
	for _, subject := range subjects {
		if _, err := s.js.PublishAsync(subject, []byte("{}"), jetstream.WithStallWait(scriptPatience)); err != nil {
			t.Fatal(err)
		}
	}
	<-s.js.PublishAsyncComplete()
	consumer, err := s.js.CreateConsumer(t.Context(), p.OutStream(), jetstream.ConsumerConfig{Durable: p.SendConsumer("clinic-0007"),
		AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{p.SendSubject("clinic-0007"), p.SendSubject("clinic-0007") + ".>"}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(3)
	if err != nil {
		t.Fatal(err)
	}
	for range batch.Messages() { // in hand from here on
	}

	var stdout, stderr bytes.Buffer
	a := cli.App{Args: []string{"status", "--json", "--server", s.nats.URL()}, Stdout: &stdout, Stderr: &stderr, Stdin: strings.NewReader("")}
	if code := run(context.Background(), a); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var got status
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if want := uint64(len(subjects)); got.Backlog != want || len(got.Lanes) != 5001 || got.Strays != 0 || len(got.Problems) > 0 {
		t.Errorf("backlog %d of %d, %d lanes, %d astray, %v", got.Backlog, want, len(got.Lanes), got.Strays, got.Problems)
	}
	lanes := map[string]laneStatus{}
	for _, l := range got.Lanes {
		lanes[l.Source+" "+string(l.Lane)] = l
	}
	for name, want := range map[string]laneStatus{
		"clinic-0007 send":    {Source: "clinic-0007", Lane: outbox.LaneSend, Waiting: 1998, InHand: 3, Ordered: 2000},
		"clinic-0008 send":    {Source: "clinic-0008", Lane: outbox.LaneSend, Waiting: 2, Ordered: 1},
		"clinic-0009 request": {Source: "clinic-0009", Lane: outbox.LaneRequest, Waiting: 1},
		"clinic-4999 send":    {Source: "clinic-4999", Lane: outbox.LaneSend, Waiting: 1},
	} {
		if got := lanes[name]; got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
