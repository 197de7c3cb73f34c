package uploads

import (
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

func TestUploads_KeptForEverybody(t *testing.T) {
	t.Parallel()
	r := outboxtest.New(t)
	r.Provision(streams.Set{Names: contract.Prefix("")})
	const uri = "https://blob.example/1"
	file := strings.Repeat("ab", 32)
	one, other := New(r.JS, "", time.Hour), New(r.JS, "", time.Hour)
	if got, err := other.Uploaded(r.Ctx(), "clinic-a", file); err != nil || got != "" {
		t.Fatalf("%q, %v", got, err)
	}
	for range 2 { // again, as after an answer that was lost
		if err := one.Keep(r.Ctx(), "clinic-a", file, uri); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []*Store{one, other, New(r.JS, "", time.Hour)} {
		if got, err := u.Uploaded(r.Ctx(), "clinic-a", file); err != nil || got != uri {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, elsewhere := range [][2]string{{"clinic-b", file}, {"clinic-a", strings.Repeat("cd", 32)}} {
		if got, err := one.Uploaded(r.Ctx(), elsewhere[0], elsewhere[1]); err != nil || got != "" {
			t.Errorf("%v: %q, %v", elsewhere, got, err)
		}
	}
	// It goes by itself.
	kv, err := r.JS.Stream(r.Ctx(), "KV_REDOX_LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := kv.GetLastMsgForSubject(r.Ctx(), "$KV.REDOX_LEDGER.file.clinic-a."+file)
	if err != nil || msg.Header.Get("Nats-TTL") != "1h0m0s" {
		t.Errorf("%v, %v", err, msg)
	}
}

func TestUploads_WithoutABucket(t *testing.T) {
	t.Parallel()
	r := outboxtest.New(t)
	u := New(r.JS, "", time.Hour)
	if _, err := u.Uploaded(r.Ctx(), "clinic-a", "f"); err == nil || !strings.Contains(err.Error(), "provision") {
		t.Error(err)
	}
	if err := u.Keep(r.Ctx(), "clinic-a", "f", "https://blob.example/1"); err == nil {
		t.Error("kept nowhere")
	}
	r.Provision(streams.Set{Names: contract.Prefix("")})
	if _, err := u.Uploaded(r.Ctx(), "clinic-a", "f"); err != nil {
		t.Errorf("a bucket that came later was not found: %v", err)
	}
}
