package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

const (
	// LeastOrphanAge is the least age of what Collect may remove: a publisher stores a
	// body before the message that names it, and repeats that write for up to nine minutes.
	LeastOrphanAge = time.Hour
	// collectAtOnce bounds the objects that one Collect looks at, and so its memory. What
	// is left comes next time.
	collectAtOnce = 10_000
)

// Collected is what a Collect did.
type Collected struct {
	// Objects is how many bodies are stored, without those that are marked as deleted.
	Objects int
	// Kept is how many of them are old enough to be collected, and are still named.
	Kept int
	// Removed is how many bodies nothing named, and Parts how many unfinished ones, of
	// which a publisher had stored only parts.
	Removed, Parts int
	// Foreign is how many bodies are below no source. No message can name them, so another program
	// has put them there. They stay.
	Foreign int
	// More reports that there is more than one Collect looks at.
	More bool
}

// Collect removes the bodies that were stored before olderThan ago, by the server's clock,
// and that no message in the work queue, no dead letter and no reply names: those of
// publishers and workers that died halfway, of replies to inboxes, and of dead letters and
// replies that expired.
//
// A body that is named stays, also while its message is published, delivered, dead-lettered or
// replayed. Collect looks for its name in the work queue first, since a dead letter is written
// before its message leaves the queue. It removes an object only if the object's header has not
// changed since that search began: a replay touches the object first ([Bodies.Touch]), which gives
// it a new header.
//
// Any number of processes may collect at once. The streams of messages are read, one
// message at a time, only where a source has a body that is old enough. It needs the
// rights to read from all three, and those of the worker on the object store.
func (b *Bodies) Collect(ctx context.Context, olderThan time.Duration) (Collected, error) {
	if olderThan < LeastOrphanAge {
		return Collected{}, fmt.Errorf("outbox: bodies younger than %v may belong to a message that is being published: collect those older than %v or more", olderThan, LeastOrphanAge)
	}
	now, err := b.now(ctx)
	if err != nil {
		return Collected{}, err
	}
	return b.collect(ctx, now.Add(-olderThan))
}

// now is the time by the clock that says how old a body is: a wrong one of this host must not
// make a body old that is being published.
func (b *Bodies) now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, jsapi.Timeout)
	defer cancel()
	stream, err := b.js.Stream(ctx, b.stream.Stream)
	if err != nil {
		return time.Time{}, b.explain(err, "collect")
	}
	return stream.CachedInfo().TimeStamp, nil
}

func (b *Bodies) collect(ctx context.Context, before time.Time) (Collected, error) {
	c := collecting{bodies: b, before: before, old: map[string]map[string]object{}}
	for _, step := range []func(context.Context) error{c.listParts, c.listObjects, c.keepNamed, c.removeObjects, c.removeParts} {
		if err := step(ctx); err != nil {
			return c.done, err
		}
	}
	return c.done, nil
}

// collecting is one Collect.
type collecting struct {
	bodies *Bodies
	before time.Time
	done   Collected
	// old are the objects that may be orphans: source, name, header.
	old map[string]map[string]object
	// gone are headers that are marked as deleted, whose chunks may be left.
	gone []object
	// parts are the chunks of which no header was seen, by the id of their object.
	parts map[string]bool
}

// listParts finds the chunks. It comes before the headers: an object that is completed
// meanwhile has its header then.
func (c *collecting) listParts(ctx context.Context) error {
	b := c.bodies
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	stream, err := b.js.Stream(ctx, b.stream.Stream)
	if err != nil {
		return b.explain(err, "collect")
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(b.chunks("*")))
	if err != nil {
		return b.explain(err, "list the parts of bodies")
	}
	c.parts = make(map[string]bool, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		c.parts[subject[len(b.chunks("")):]] = true
	}
	return nil
}

// listObjects finds the objects that are old enough.
func (c *collecting) listObjects(ctx context.Context) error {
	b := c.bodies
	return b.stream.Each(ctx, b.headers(), func(msg *jetstream.RawStreamMsg) error {
		o, err := readObject(msg)
		if err != nil || b.header(o.info.Name) != msg.Subject {
			c.done.Foreign++ // something else has written it
			return nil
		}
		delete(c.parts, o.info.NUID)
		old := o.stored.Before(c.before)
		if o.info.Deleted {
			if old {
				c.gone = append(c.gone, o)
			}
			return nil
		}
		c.done.Objects++
		source, _, below := strings.Cut(o.info.Name, "/")
		switch {
		case !below || !wire.IsName(source, wire.MaxSource):
			c.done.Foreign++
		case !old:
		case c.done.Kept >= collectAtOnce:
			c.done.More = true
		default:
			c.done.Kept++
			if c.old[source] == nil {
				c.old[source] = map[string]object{}
			}
			c.old[source][o.info.Name] = o
		}
		return nil
	})
}

// keepNamed takes away what a message, a dead letter or a reply names.
func (c *collecting) keepNamed(ctx context.Context) error {
	for source := range c.old {
		for _, in := range c.places(source) {
			if err := c.keepNamedIn(ctx, source, in); err != nil {
				return err
			}
		}
	}
	return nil
}

// naming is where a body may be named.
type naming struct{ stream, subject string }

// places are those of a source. The order matters: see Collect.
func (c *collecting) places(source string) [3]naming {
	p := c.bodies.prefix
	return [...]naming{
		{p.OutStream(), p.String() + ".out." + source + ".>"},
		{p.DeadStream(), p.String() + ".dlq." + source + ".>"},
		{p.ReplyStream(), p.String() + ".reply." + source + ".>"},
	}
}

func (c *collecting) keepNamedIn(ctx context.Context, source string, in naming) error {
	names := c.old[source]
	if len(names) == 0 {
		return nil
	}
	err := jsapi.Leader{JS: c.bodies.js, Stream: in.stream}.Each(ctx, in.subject, func(msg *jetstream.RawStreamMsg) error {
		for _, name := range msg.Header[contract.HeaderBodyObject] {
			delete(names, name)
		}
		if len(names) == 0 {
			return errNothingLeft
		}
		return nil
	})
	if errors.Is(err, errNothingLeft) {
		return nil
	}
	return jsapi.Explain(err, c.bodies.js, "look for what names a body in "+in.stream)
}

// errNothingLeft ends a search.
var errNothingLeft = errors.New("nothing is left to look for")

func (c *collecting) removeObjects(ctx context.Context) error {
	for _, names := range c.old {
		for _, o := range names {
			removed, err := c.bodies.removeIf(ctx, o)
			if err != nil {
				return err
			}
			if removed {
				c.done.Kept--
				c.done.Removed++
			}
		}
	}
	for _, o := range c.gone {
		if err := c.bodies.remove(ctx, o); err != nil {
			return c.bodies.explain(err, "delete a body")
		}
	}
	return nil
}

// removeIf removes an object if its header is still the one that was read. It is marked as
// deleted first, which is what tells.
func (b *Bodies) removeIf(ctx context.Context, o object) (removed bool, err error) {
	read := o.sequence
	o.info.Deleted = true
	o.sequence, err = b.writeHeader(ctx, &o.info, &read)
	if jsapi.AlreadyStored(err) {
		return false, nil
	}
	if err == nil {
		err = b.remove(ctx, o)
	}
	return err == nil, b.explain(err, "delete a body")
}

// removeParts removes chunks without a header whose last one is old.
func (c *collecting) removeParts(ctx context.Context) error {
	b := c.bodies
	looked := 0
	for nuid := range c.parts {
		if looked++; looked > collectAtOnce {
			c.done.More = true
			return nil
		}
		last, err := b.stream.Last(ctx, b.chunks(nuid))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err == nil && last.Time.Before(c.before) {
			c.done.Parts++
			err = b.stream.Purge(ctx, b.chunks(nuid), last.Sequence+1)
		}
		if err != nil {
			return b.explain(err, "remove parts of a body")
		}
	}
	return nil
}
