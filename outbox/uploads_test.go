package outbox

import (
	"strings"
	"testing"
	"time"
)

func TestUploads_KeptForEverybody(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	r.ensure(Topology{})
	const uri = "https://blob.example/1"
	file := strings.Repeat("ab", 32)
	one, other := NewUploads(r.js, "", time.Hour), NewUploads(r.js, "", time.Hour)
	if got, err := other.Uploaded(r.ctx(), "clinic-a", file); err != nil || got != "" {
		t.Fatalf("%q, %v", got, err)
	}
	for range 2 { // again, as after an answer that was lost
		if err := one.Keep(r.ctx(), "clinic-a", file, uri); err != nil {
			t.Fatal(err)
		}
	}
	for _, u := range []*Uploads{one, other, NewUploads(r.js, "", time.Hour)} {
		if got, err := u.Uploaded(r.ctx(), "clinic-a", file); err != nil || got != uri {
			t.Errorf("%q, %v", got, err)
		}
	}
	for _, elsewhere := range [][2]string{{"clinic-b", file}, {"clinic-a", strings.Repeat("cd", 32)}} {
		if got, err := one.Uploaded(r.ctx(), elsewhere[0], elsewhere[1]); err != nil || got != "" {
			t.Errorf("%v: %q, %v", elsewhere, got, err)
		}
	}
	// It goes by itself.
	kv, err := r.js.Stream(r.ctx(), "KV_REDOX_LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	msg, err := kv.GetLastMsgForSubject(r.ctx(), "$KV.REDOX_LEDGER.file.clinic-a."+file)
	if err != nil || msg.Header.Get("Nats-TTL") != "1h0m0s" {
		t.Errorf("%v, %v", err, msg)
	}
}

func TestUploads_WithoutABucket(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	u := NewUploads(r.js, "", time.Hour)
	if _, err := u.Uploaded(r.ctx(), "clinic-a", "f"); err == nil || !strings.Contains(err.Error(), "provision") {
		t.Error(err)
	}
	if err := u.Keep(r.ctx(), "clinic-a", "f", "https://blob.example/1"); err == nil {
		t.Error("kept nowhere")
	}
	r.ensure(Topology{})
	if _, err := u.Uploaded(r.ctx(), "clinic-a", "f"); err != nil {
		t.Errorf("a bucket that came later was not found: %v", err)
	}
}
