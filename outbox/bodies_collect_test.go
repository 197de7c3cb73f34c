package outbox

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
)

// soon is after everything that a test has stored: all of it is old.
func soon() time.Time { return time.Now().Add(time.Hour) }

func (r rig) collect(b *Bodies, before time.Time) Collected {
	r.T.Helper()
	c, err := b.collect(r.Ctx(), before)
	r.Must(err)
	return c
}

// names are those of the stored objects.
func (r rig) names() []string {
	r.T.Helper()
	store, err := r.JS.ObjectStore(r.Ctx(), contract.Prefix("").BodyBucket())
	r.Must(err)
	list, err := store.List(r.Ctx())
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil
	}
	r.Must(err)
	var names []string
	for _, o := range list {
		names = append(names, o.Name)
	}
	slices.Sort(names)
	return names
}

func (r rig) stores(want ...string) {
	r.T.Helper()
	if got := r.names(); !slices.Equal(got, want) {
		r.T.Errorf("stored: %v, want %v", got, want)
	}
}

// naming stores a message that names an object.
func (r rig) naming(subject, object string) {
	r.T.Helper()
	_, err := r.Publish(subject, contract.HeaderBodyObject, object)
	r.Must(err)
}

func TestCollect_KeepsWhatIsNamed(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	for _, name := range []string{"a/sent", "a/ordered", "a/queried", "a/dead", "a/replied", "a/orphan", "a/of-b", "b/orphan"} {
		r.put(b, name, outboxtest.Pattern(300_000))
	}
	for range 50 { // others in between
		r.MustPublish("redox.out.a.send")
		r.MustPublish("redox.out.b.send")
	}
	r.naming("redox.out.a.send", "a/sent")
	r.naming("redox.out.a.send."+goldenToken, "a/ordered")
	r.naming("redox.out.a.request", "a/queried")
	r.naming("redox.dlq.a.held."+goldenToken, "a/dead")
	r.naming("redox.reply.a.x.y", "a/replied")
	r.naming("redox.out.b.send", "a/of-b") // not b's to name
	if c := r.collect(b, time.Now().Add(-time.Hour)); c != (Collected{Objects: 8}) {
		t.Errorf("young ones: %+v", c)
	}
	if c := r.collect(b, soon()); c != (Collected{Objects: 8, Kept: 5, Removed: 3}) {
		t.Errorf("%+v", c)
	}
	r.stores("a/dead", "a/ordered", "a/queried", "a/replied", "a/sent")
	for _, name := range r.names() {
		if got, err := b.Get(r.Ctx(), name, -1); err != nil || len(got) != 300_000 {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 5*4 {
		t.Errorf("%d messages are left in the store, want a header and three chunks of each", n)
	}
}

// What a Put that was killed, or another tool, leaves behind.
func TestCollect_PartsAndMarks(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, "a/whole", outboxtest.Pattern(300_000))
	r.naming("redox.out.a.send", "a/whole")
	for range 3 {
		r.send(b.chunks("unfinished"), outboxtest.Pattern(1000))
	}
	r.put(b, "a/marked", outboxtest.Pattern(300_000))
	store, err := r.JS.ObjectStore(r.Ctx(), contract.Prefix("").BodyBucket())
	r.Must(err)
	r.Must(store.Delete(r.Ctx(), "a/marked"))
	_, err = store.PutBytes(r.Ctx(), "theirs", outboxtest.Pattern(10))
	r.Must(err)
	r.send("$O.REDOX_BODIES.M.bm9uc2Vuc2U=", []byte("nonsense"))
	if c := r.collect(b, time.Now().Add(-time.Hour)); c != (Collected{Objects: 2, Foreign: 2}) {
		t.Errorf("young ones: %+v", c)
	}
	if c := r.collect(b, soon()); c != (Collected{Objects: 2, Kept: 1, Foreign: 2, Parts: 1}) {
		t.Errorf("%+v", c)
	}
	if got, err := b.Get(r.Ctx(), "a/whole", -1); err != nil || len(got) != 300_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// A header and three chunks, a header and a chunk of the foreign one, the nonsense.
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 4+2+1 {
		t.Errorf("%d messages are left in the store", n)
	}
}

// A body that is touched or replaced between the look and the removal stays.
func TestCollect_LeavesWhatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(rig, *Bodies){
		"touched":  func(r rig, b *Bodies) { r.Must(b.Touch(r.Ctx(), "a/x")) },
		"replaced": func(r rig, b *Bodies) { r.put(b, "a/x", outboxtest.Pattern(1000)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := newBodies(t)
			r.T = t
			r.put(b, "a/x", outboxtest.Pattern(1000))
			o, err := b.look(r.Ctx(), "a/x")
			r.Must(err)
			change(r, b)
			if removed, err := b.removeIf(r.Ctx(), o); removed || err != nil {
				t.Errorf("removed %v, %v", removed, err)
			}
			if got, err := b.Get(r.Ctx(), "a/x", -1); err != nil || len(got) != 1000 {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			o, err = b.look(r.Ctx(), "a/x")
			r.Must(err)
			if removed, err := b.removeIf(r.Ctx(), o); !removed || err != nil {
				t.Errorf("unchanged: removed %v, %v", removed, err)
			}
			if err := b.Touch(r.Ctx(), "a/x"); !errors.Is(err, ErrBodyMissing) {
				t.Errorf("touching what is gone: %v", err)
			}
			if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 0 {
				t.Errorf("%d messages are left", n)
			}
		})
	}
}

// Touch keeps all that the header says.
func TestBodies_TouchMakesYoung(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, "a/x", outboxtest.Pattern(300_000))
	before, err := b.look(r.Ctx(), "a/x")
	r.Must(err)
	r.Must(b.Touch(r.Ctx(), "a/x"))
	after, err := b.look(r.Ctx(), "a/x")
	r.Must(err)
	if !after.stored.After(before.stored) || after.sequence <= before.sequence {
		t.Errorf("stored %v as %d, then %v as %d", before.stored, before.sequence, after.stored, after.sequence)
	}
	if got, err := b.Get(r.Ctx(), "a/x", -1); err != nil || len(got) != 300_000 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := b.Touch(r.Ctx(), "a/y"); !errors.Is(err, ErrBodyMissing) {
		t.Errorf("what never was: %v", err)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 4 {
		t.Errorf("%d messages", n)
	}
}

// A message moves while what names its body is looked for, each time behind the back of
// who looks: from the queue to the dead letters, and back.
func TestCollect_SeesMessagesThatMove(t *testing.T) {
	t.Parallel()
	const body = "a/x"
	bury := func(r rig, sequence uint64) {
		r.naming("redox.dlq.a.held."+goldenToken, body)
		r.remove(contract.Prefix("").OutStream(), sequence)
	}
	replay := func(r rig, b *Bodies, sequence uint64) {
		r.Must(b.Touch(r.Ctx(), body))
		r.naming("redox.out.a.send", body)
		r.remove(contract.Prefix("").DeadStream(), sequence)
	}
	for name, move := range map[string]func(r rig, b *Bodies, after int){
		"buried":              func(r rig, _ *Bodies, after int) { when(after == 0, func() { bury(r, 1) }) },
		"buried and replayed": func(r rig, b *Bodies, after int) { when(after == 0, func() { bury(r, 1); replay(r, b, 1) }) },
		"buried, looked for in vain, and replayed": func(r rig, b *Bodies, after int) {
			when(after == -1, func() { bury(r, 1) })
			when(after == 0, func() { replay(r, b, 1) })
		},
		"replayed at the end": func(r rig, b *Bodies, after int) {
			when(after == -1, func() { bury(r, 1) })
			when(after == 2, func() { replay(r, b, 1) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, b := newBodies(t)
			r.T = t
			r.put(b, body, outboxtest.Pattern(1000))
			r.naming("redox.out.a.send", body)
			c := collecting{bodies: b, before: soon(), old: map[string]map[string]object{}}
			r.Must(c.listParts(r.Ctx()))
			r.Must(c.listObjects(r.Ctx()))
			move(r, b, -1)
			for i, in := range c.places("a") {
				r.Must(c.keepNamedIn(r.Ctx(), "a", in))
				move(r, b, i)
			}
			r.Must(c.removeObjects(r.Ctx()))
			r.stores(body)
			if c.done.Removed != 0 || c.done.Kept != 1 {
				t.Errorf("%+v", c.done)
			}
		})
	}
}

func when(cond bool, do func()) {
	if cond {
		do()
	}
}

func (r rig) remove(stream string, sequence uint64) {
	r.T.Helper()
	s, err := r.JS.Stream(r.Ctx(), stream)
	r.Must(err)
	r.Must(s.DeleteMsg(r.Ctx(), sequence))
}

// Any number of processes may collect at once.
func TestCollect_ManyAtOnce(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	for i := range 40 {
		name := fmt.Sprint("a/", i)
		r.put(b, name, outboxtest.Pattern(1000))
		if i%2 == 0 {
			r.naming("redox.out.a.send", name)
		}
	}
	ctx := r.Ctx()
	results := make(chan error, 8)
	for range 8 {
		go func() {
			_, err := NewBodies(r.JS, "").collect(ctx, soon())
			results <- err
		}()
	}
	for range 8 {
		r.Must(<-results)
	}
	if n := len(r.names()); n != 20 {
		t.Errorf("%d objects are left, want the 20 that are named", n)
	}
	if n := r.Stream("OBJ_REDOX_BODIES").State.Msgs; n != 40 {
		t.Errorf("%d messages are left", n)
	}
}

func TestCollect_RefusesToTakeYoungOnes(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	if _, err := b.Collect(r.Ctx(), LeastOrphanAge-1); err == nil {
		t.Error("no error")
	}
	if _, err := b.Collect(r.Ctx(), LeastOrphanAge); err != nil {
		t.Error(err)
	}
}

// Without a right nothing is removed, and the error says which.
func TestCollect_WithoutTheRight(t *testing.T) {
	t.Parallel()
	r := configured(t, `jetstream: enabled
accounts { A { jetstream: enabled, users: [
  { user: all, password: p }
  { user: few, password: p, permissions { publish { allow: ["$JS.API.STREAM.INFO.OBJ_REDOX_BODIES", "$JS.API.STREAM.MSG.GET.OBJ_REDOX_BODIES", "$O.REDOX_BODIES.>", "$JS.API.STREAM.PURGE.OBJ_REDOX_BODIES"] }, subscribe: "_INBOX.>" } }
] } }`, nats.UserInfo("all", "p"))
	r.Provision(streams.Set{Names: contract.Prefix("")})
	r.put(NewBodies(r.JS, ""), "a/x", outboxtest.Pattern(10))
	few := NewBodies(r.Connect(nats.UserInfo("few", "p")), "")
	if _, err := few.collect(r.Ctx(), soon()); !errors.Is(err, ErrPermission) {
		t.Errorf("error %v, want %v", err, ErrPermission)
	}
	r.stores("a/x")
}
