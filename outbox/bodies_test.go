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

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

const objectName = "message-1/body"

func newBodies(t *testing.T) (rig, *Bodies) {
	t.Helper()
	r := newRig(t)
	r.Provision(streams.Set{Names: contract.Prefix("")})
	return r, NewBodies(r.JS, "")
}

func (r rig) put(b *Bodies, name string, body []byte) {
	r.T.Helper()
	if err := b.Put(r.Ctx(), name, body); err != nil {
		r.T.Fatal(err)
	}
}

func TestBodies_RoundTrip(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	for _, n := range []int{0, 1, 128<<10 - 1, 128 << 10, 128<<10 + 1, 3 << 20} {
		name := fmt.Sprint("object-", n)
		r.put(b, name, outboxtest.Pattern(n))
		got, err := b.Get(r.Ctx(), name, int64(n))
		if err != nil || !bytes.Equal(got, outboxtest.Pattern(n)) {
			t.Errorf("%d bytes: got %d, error %v", n, len(got), err)
		}
	}
}

// Other tools read what Put has stored, and Get what they have.
func TestBodies_SharesTheStoreWithOtherTools(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	store, err := r.JS.ObjectStore(r.Ctx(), contract.Prefix("").BodyBucket())
	if err != nil {
		t.Fatal(err)
	}
	r.put(b, objectName, outboxtest.Pattern(300_000))
	if got, err := store.GetBytes(r.Ctx(), objectName); err != nil || !bytes.Equal(got, outboxtest.Pattern(300_000)) {
		t.Errorf("the library reads %d bytes, error %v", len(got), err)
	}
	if _, err := store.PutBytes(r.Ctx(), "theirs", outboxtest.Pattern(400_000)); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(r.Ctx(), "theirs", -1); err != nil || !bytes.Equal(got, outboxtest.Pattern(400_000)) {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
}

func TestBodies_SmallMaxPayload(t *testing.T) {
	t.Parallel()
	r := rig{outboxtest.With(t, natsdev.Options{MaxPayload: 4096})}
	r.Provision(streams.Set{Names: contract.Prefix("")})
	b := NewBodies(r.JS, "")
	r.put(b, objectName, outboxtest.Pattern(10_000))
	if got, err := b.Get(r.Ctx(), objectName, -1); err != nil || !bytes.Equal(got, outboxtest.Pattern(10_000)) {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
}

func TestBodies_PutReplaces(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, objectName, outboxtest.Pattern(300_000))
	r.put(b, objectName, []byte("second"))
	got, err := b.Get(r.Ctx(), objectName, -1)
	if err != nil || string(got) != "second" {
		t.Errorf("got %d bytes, error %v", len(got), err)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 2 {
		t.Errorf("%d messages stored, want a header and a chunk", n)
	}
}

func TestBodies_GetChecksTheLimit(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, objectName, outboxtest.Pattern(1001))
	for limit, fits := range map[int64]bool{-1: true, 0: false, 1000: false, 1001: true} {
		_, err := b.Get(r.Ctx(), objectName, limit)
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
	if _, err := b.Get(r.Ctx(), "never-stored", -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("never stored: %v", err)
	}
	if err := b.Delete(r.Ctx(), "never-stored"); err != nil {
		t.Errorf("delete what is not there: %v", err)
	}
	r.put(b, objectName, outboxtest.Pattern(300_000))
	for range 2 {
		if err := b.Delete(r.Ctx(), objectName); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Get(r.Ctx(), objectName, -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("deleted: %v", err)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 0 {
		t.Errorf("%d messages left behind by Delete", n)
	}
}

func TestBodies_DeletedByAnotherTool(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, objectName, outboxtest.Pattern(10))
	store, err := r.JS.ObjectStore(r.Ctx(), contract.Prefix("").BodyBucket())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Delete(r.Ctx(), objectName); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(r.Ctx(), objectName, -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("error %v", err)
	}
	if err := b.Delete(r.Ctx(), objectName); err != nil {
		t.Error(err)
	}
}

// Each case spoils a stored object of three chunks in another way.
func TestBodies_Altered(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(rig, jetstream.Stream, string){
		"all chunks gone": func(r rig, s jetstream.Stream, chunks string) {
			r.Must(s.Purge(r.Ctx(), jetstream.WithPurgeSubject(chunks)))
		},
		"a chunk gone":    func(r rig, s jetstream.Stream, _ string) { r.Must(s.DeleteMsg(r.Ctx(), 2)) },
		"last chunk gone": func(r rig, s jetstream.Stream, _ string) { r.Must(s.DeleteMsg(r.Ctx(), 3)) },
		"a chunk replaced": func(r rig, s jetstream.Stream, chunks string) {
			r.Must(s.DeleteMsg(r.Ctx(), 3))
			r.send(chunks, make([]byte, 300_000-2*128<<10))
		},
		"a chunk too long": func(r rig, s jetstream.Stream, chunks string) {
			r.Must(s.DeleteMsg(r.Ctx(), 3))
			r.send(chunks, make([]byte, 128<<10))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := newBodies(t)
			r.T = t
			r.put(b, objectName, outboxtest.Pattern(300_000))
			s, err := r.JS.Stream(r.Ctx(), "OBJ_REDOX_BODIES")
			if err != nil {
				t.Fatal(err)
			}
			first, err := s.GetMsg(r.Ctx(), 1)
			if err != nil {
				t.Fatal(err)
			}
			spoil(r, s, first.Subject)
			got, err := b.Get(r.Ctx(), objectName, -1)
			if !errors.Is(err, ErrBodyAltered) || got != nil {
				t.Errorf("got %d bytes, error %v", len(got), err)
			}
			if err != nil && strings.Contains(err.Error(), "message-1") {
				t.Errorf("the error holds the name: %v", err)
			}
		})
	}
}

func (r rig) send(subject string, data []byte) {
	r.T.Helper()
	_, err := r.JS.PublishMsg(r.Ctx(), &nats.Msg{Subject: subject, Data: data})
	r.Must(err)
}

// A link would let a publisher read another bucket.
func TestBodies_FollowsNoLink(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	other, err := r.JS.CreateObjectStore(r.Ctx(), jetstream.ObjectStoreConfig{Bucket: "OTHER"})
	if err != nil {
		t.Fatal(err)
	}
	info, err := other.PutString(r.Ctx(), "secret", "of somebody else")
	if err != nil {
		t.Fatal(err)
	}
	store, err := r.JS.ObjectStore(r.Ctx(), contract.Prefix("").BodyBucket())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.AddLink(r.Ctx(), objectName, info); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(r.Ctx(), objectName, -1); !errors.Is(err, ErrBodyAltered) || got != nil {
		t.Errorf("got %q, error %v", got, err)
	}
}

func TestBodies_NotProvisionedAndThenIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	b := NewBodies(r.JS, "")
	if err := b.Put(r.Ctx(), objectName, nil); !errors.Is(err, ErrNoStream) {
		t.Errorf("put: %v", err)
	}
	if _, err := b.Get(r.Ctx(), objectName, -1); !errors.Is(err, ErrNoStream) {
		t.Errorf("get: %v", err)
	}
	if err := b.Delete(r.Ctx(), objectName); !errors.Is(err, ErrNoStream) {
		t.Errorf("delete: %v", err)
	}
	r.Provision(streams.Set{Names: contract.Prefix("")})
	r.put(b, objectName, outboxtest.Pattern(10))
}

func TestBodies_FullStore(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.UpdateStream("OBJ_REDOX_BODIES", func(c *jetstream.StreamConfig) { c.MaxBytes = 200_000 })
	if err := b.Put(r.Ctx(), objectName, outboxtest.Pattern(500_000)); !errors.Is(err, ErrQueueFull) {
		t.Errorf("error %v", err)
	}
	if _, err := b.Get(r.Ctx(), objectName, -1); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("half a body was stored: %v", err)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 0 {
		t.Errorf("%d parts of it were left", n)
	}
	r.put(b, objectName, outboxtest.Pattern(1000))
	if err := b.Put(r.Ctx(), objectName, outboxtest.Pattern(500_000)); !errors.Is(err, ErrQueueFull) {
		t.Errorf("error %v", err)
	}
	if got, err := b.Get(r.Ctx(), objectName, -1); err != nil || len(got) != 1000 {
		t.Errorf("the body before it: %d bytes, error %v", len(got), err)
	}
}

func TestBodies_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	ctx := r.Ctx()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name, body := fmt.Sprint("object-", i), outboxtest.Pattern(200_000+i)
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
	js := outboxtest.Bench(b)
	if err := outboxtest.Provision(b.Context(), js, streams.Set{Names: contract.Prefix("")}); err != nil {
		b.Fatal(err)
	}
	bodies := NewBodies(js, "")
	if err := bodies.Put(b.Context(), objectName, outboxtest.Pattern(2<<20)); err != nil {
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
	if _, err := b.PutFrom(r.Ctx(), objectName, io.MultiReader(bytes.NewReader(outboxtest.Pattern(300_000)), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if got, err := b.Get(r.Ctx(), objectName, -1); err != nil || string(got) != "before" {
		t.Errorf("%q, %v", got, err)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 2 {
		t.Errorf("%d messages, want a header and a chunk", n)
	}
	size, err := b.PutFrom(r.Ctx(), objectName, iotest.HalfReader(bytes.NewReader(outboxtest.Pattern(300_000))))
	if err != nil || size != 300_000 {
		t.Errorf("%d bytes, %v", size, err)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 4 {
		t.Errorf("%d messages, want a header and three chunks: chunks are full though the reader gives half", n)
	}
}
