package outbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

const objectName = "message-1/body"

func newBodies(t *testing.T) (topologyRig, *Bodies) {
	t.Helper()
	r := newTopologyRig(t)
	r.ensure(Topology{})
	return r, NewBodies(r.js, "")
}

func (r topologyRig) put(b *Bodies, name string, body []byte) {
	r.t.Helper()
	if err := b.Put(r.ctx(), name, body); err != nil {
		r.t.Fatal(err)
	}
}

func pattern(n int) []byte {
	body := make([]byte, n)
	for i := range body {
		body[i] = byte(i * 7 >> 3)
	}
	return body
}

func TestBodies_RoundTrip(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	for _, n := range []int{0, 1, 128<<10 - 1, 128 << 10, 128<<10 + 1, 3 << 20} {
		name := fmt.Sprint("object-", n)
		r.put(b, name, pattern(n))
		got, err := b.Get(r.ctx(), name, int64(n))
		if err != nil || !bytes.Equal(got, pattern(n)) {
			t.Errorf("%d bytes: got %d, error %v", n, len(got), err)
		}
	}
}

// Other tools read what Put has stored, and Get what they have.
func TestBodies_SharesTheStoreWithOtherTools(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	store, err := r.js.ObjectStore(r.ctx(), Prefix("").BodyBucket())
	if err != nil {
		t.Fatal(err)
	}
	r.put(b, objectName, pattern(300_000))
	if got, err := store.GetBytes(r.ctx(), objectName); err != nil || !bytes.Equal(got, pattern(300_000)) {
		t.Errorf("the library reads %d bytes, error %v", len(got), err)
	}
	if _, err := store.PutBytes(r.ctx(), "theirs", pattern(400_000)); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(r.ctx(), "theirs", -1); err != nil || !bytes.Equal(got, pattern(400_000)) {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
}

func TestBodies_SmallMaxPayload(t *testing.T) {
	t.Parallel()
	r := topologyRigWith(t, natsdev.Options{MaxPayload: 4096})
	r.ensure(Topology{})
	b := NewBodies(r.js, "")
	r.put(b, objectName, pattern(10_000))
	if got, err := b.Get(r.ctx(), objectName, -1); err != nil || !bytes.Equal(got, pattern(10_000)) {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
}

func TestBodies_PutReplaces(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, objectName, pattern(300_000))
	r.put(b, objectName, []byte("second"))
	got, err := b.Get(r.ctx(), objectName, -1)
	if err != nil || string(got) != "second" {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
	if n := r.stream("OBJ_REDOX_BODIES").State.Msgs; n != 2 {
		t.Errorf("%d messages stored, want a header and a chunk", n)
	}
}

func TestBodies_GetChecksTheLimit(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, objectName, pattern(1001))
	for limit, fits := range map[int64]bool{-1: true, 0: false, 1000: false, 1001: true} {
		_, err := b.Get(r.ctx(), objectName, limit)
		if fits && err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
		var size *SizeError
		if !fits && (!errors.As(err, &size) || size.Size != 1001 || size.Limit != limit) {
			t.Errorf("limit %d: error %v, want both sizes", limit, err)
		}
	}
}

func TestBodies_Missing(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	if _, err := b.Get(r.ctx(), "never-stored", -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("never stored: %v", err)
	}
	if err := b.Delete(r.ctx(), "never-stored"); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
	r.put(b, objectName, pattern(300_000))
	for range 2 {
		if err := b.Delete(r.ctx(), objectName); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Get(r.ctx(), objectName, -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("deleted: %v", err)
	}
	if n := r.stream("OBJ_REDOX_BODIES").State.Msgs; n != 0 {
		t.Errorf("%d messages left behind by Delete", n)
	}
}

func TestBodies_DeletedByAnotherTool(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, objectName, pattern(10))
	store, err := r.js.ObjectStore(r.ctx(), Prefix("").BodyBucket())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(r.ctx(), objectName); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(r.ctx(), objectName, -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("error %v", err)
	}
	if err := b.Delete(r.ctx(), objectName); err != nil {
		t.Error(err)
	}
}

// Each case spoils a stored object of three chunks in another way.
func TestBodies_Altered(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(topologyRig, jetstream.Stream, string){
		"all chunks gone": func(r topologyRig, s jetstream.Stream, chunks string) {
			must(r, s.Purge(r.ctx(), jetstream.WithPurgeSubject(chunks)))
		},
		"a chunk gone":    func(r topologyRig, s jetstream.Stream, _ string) { must(r, s.DeleteMsg(r.ctx(), 2)) },
		"last chunk gone": func(r topologyRig, s jetstream.Stream, _ string) { must(r, s.DeleteMsg(r.ctx(), 3)) },
		"a chunk replaced": func(r topologyRig, s jetstream.Stream, chunks string) {
			must(r, s.DeleteMsg(r.ctx(), 3))
			r.send(chunks, make([]byte, 300_000-2*128<<10))
		},
		"a chunk too long": func(r topologyRig, s jetstream.Stream, chunks string) {
			must(r, s.DeleteMsg(r.ctx(), 3))
			r.send(chunks, make([]byte, 128<<10))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := newBodies(t)
			r.t = t
			r.put(b, objectName, pattern(300_000))
			s, err := r.js.Stream(r.ctx(), "OBJ_REDOX_BODIES")
			if err != nil {
				t.Fatal(err)
			}
			first, err := s.GetMsg(r.ctx(), 1)
			if err != nil {
				t.Fatal(err)
			}
			spoil(r, s, first.Subject)
			got, err := b.Get(r.ctx(), objectName, -1)
			if !errors.Is(err, ErrBodyAltered) || got != nil {
				t.Errorf("got %d bytes, error %v", len(got), err)
			}
			if err != nil && strings.Contains(err.Error(), "message-1") {
				t.Errorf("the error holds the name: %v", err)
			}
		})
	}
}

func must(r topologyRig, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r topologyRig) send(subject string, data []byte) {
	r.t.Helper()
	_, err := r.js.PublishMsg(r.ctx(), &nats.Msg{Subject: subject, Data: data})
	must(r, err)
}

// A link would let a publisher read another bucket.
func TestBodies_FollowsNoLink(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	other, err := r.js.CreateObjectStore(r.ctx(), jetstream.ObjectStoreConfig{Bucket: "OTHER"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := other.PutString(r.ctx(), "secret", "of somebody else")
	if err != nil {
		t.Fatal(err)
	}
	store, err := r.js.ObjectStore(r.ctx(), Prefix("").BodyBucket())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.AddLink(r.ctx(), objectName, info); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(r.ctx(), objectName, -1); !errors.Is(err, ErrBodyAltered) || got != nil {
		t.Errorf("got %q, error %v", got, err)
	}
}

func TestBodies_NotProvisionedAndThenIs(t *testing.T) {
	t.Parallel()
	r := newTopologyRig(t)
	b := NewBodies(r.js, "")
	if err := b.Put(r.ctx(), objectName, nil); !errors.Is(err, ErrNoStream) {
		t.Errorf("put: %v", err)
	}
	if _, err := b.Get(r.ctx(), objectName, -1); !errors.Is(err, ErrNoStream) {
		t.Errorf("get: %v", err)
	}
	if err := b.Delete(r.ctx(), objectName); !errors.Is(err, ErrNoStream) {
		t.Errorf("delete: %v", err)
	}
	r.ensure(Topology{})
	r.put(b, objectName, pattern(10))
}

func TestBodies_FullStore(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.updateStream("OBJ_REDOX_BODIES", func(c *jetstream.StreamConfig) { c.MaxBytes = 200_000 })
	if err := b.Put(r.ctx(), objectName, pattern(500_000)); !errors.Is(err, ErrQueueFull) {
		t.Errorf("error %v", err)
	}
	if _, err := b.Get(r.ctx(), objectName, -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("half a body was stored: %v", err)
	}
	if n := r.stream("OBJ_REDOX_BODIES").State.Msgs; n != 0 {
		t.Errorf("%d parts of it were left", n)
	}
	r.put(b, objectName, pattern(1000))
	if err := b.Put(r.ctx(), objectName, pattern(500_000)); !errors.Is(err, ErrQueueFull) {
		t.Errorf("error %v", err)
	}
	if got, err := b.Get(r.ctx(), objectName, -1); err != nil || len(got) != 1000 {
		t.Errorf("the body before it: %d bytes, error %v", len(got), err)
	}
}

func TestBodies_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	ctx := r.ctx()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name, body := fmt.Sprint("object-", i), pattern(200_000+i)
			if err := b.Put(ctx, name, body); err != nil {
				t.Error(err)
				return
			}
			if got, err := b.Get(ctx, name, -1); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes, error %v", name, len(got), err)
			}
		})
	}
	wg.Wait()
}

func BenchmarkBodies_Get(b *testing.B) {
	js := benchRig(b)
	if _, err := (Topology{}).Ensure(b.Context(), js); err != nil {
		b.Fatal(err)
	}
	bodies := NewBodies(js, "")
	if err := bodies.Put(b.Context(), objectName, pattern(2<<20)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(2 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := bodies.Get(b.Context(), objectName, -1); err != nil {
			b.Fatal(err)
		}
	}
}

// What cannot be read to its end is not stored at all, and what was there stays.
func TestBodies_PutFromAReaderThatFails(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, objectName, []byte("before"))
	broken := errors.New("broken")
	if _, err := b.PutFrom(r.ctx(), objectName, io.MultiReader(bytes.NewReader(pattern(300_000)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if got, err := b.Get(r.ctx(), objectName, -1); err != nil || string(got) != "before" {
		t.Errorf("%q, %v", got, err)
	}
	if n := r.stream("OBJ_REDOX_BODIES").State.Msgs; n != 2 {
		t.Errorf("%d messages, want a header and a chunk", n)
	}
	size, err := b.PutFrom(r.ctx(), objectName, iotest.HalfReader(bytes.NewReader(pattern(300_000))))
	if err != nil || size != 300_000 {
		t.Errorf("%d bytes, %v", size, err)
	}
	if n := r.stream("OBJ_REDOX_BODIES").State.Msgs; n != 4 {
		t.Errorf("%d messages, want a header and three chunks: chunks are full though the reader gives half", n)
	}
}
