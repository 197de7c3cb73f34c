package outbox

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

var smallServer = natsdev.Options{MaxPayload: 4096}

func largeMessage() Message {
	return Message{ID: "m", Source: "clinic-a", Body: []byte(strings.Repeat("x", 5000))}
}

// What becomes of the object when the publish of the message goes wrong.
func TestPublish_ClaimOfAFailedPublish(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fails   scripted
		timeout time.Duration
		kept    bool // the message may be stored
	}{
		"refused for good":                {fails: scripted{left: 1, err: &jetstream.APIError{Code: 400, ErrorCode: 10060}}},
		"queue full":                      {fails: scripted{left: 1, err: &jetstream.APIError{Code: 503, ErrorCode: jsapi.CodeStoreFailed}}},
		"nobody there until the end":      {fails: scripted{left: 1000, err: nats.ErrNoResponders}, timeout: 300 * time.Millisecond},
		"no answer until the end":         {fails: scripted{left: 1000, err: context.DeadlineExceeded}, timeout: 300 * time.Millisecond, kept: true},
		"stored, but no answer until end": {fails: scripted{left: 1000, err: context.DeadlineExceeded, stored: true}, timeout: 300 * time.Millisecond, kept: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := published(t, smallServer, PublisherConfig{})
			p, err := NewPublisher(r.JS, PublisherConfig{ClaimCheck: true, Timeout: tt.timeout})
			r.Must(err)
			tt.fails.JetStream = r.JS
			p.js = &tt.fails // after the store was given the good one
			if _, err := p.Publish(context.Background(), largeMessage()); err == nil {
				t.Fatal("no error")
			}
			if n := len(r.names()); (n == 1) != tt.kept || n > 1 {
				t.Errorf("%d objects are left, want one: %v", n, tt.kept)
			}
		})
	}
}

// The object store has no leader for a moment, at a chunk of the body.
func TestPublish_ClaimWhileTheStoreElects(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nats.ErrNoResponders, context.DeadlineExceeded, &jetstream.APIError{Code: 503, ErrorCode: jsapi.CodeNotAvailable}} {
		r, _ := published(t, smallServer, PublisherConfig{})
		p, failed := NewPublisher(r.JS, PublisherConfig{ClaimCheck: true})
		r.Must(failed)
		p.bodies = NewBodies(&scripted{JetStream: r.JS, left: 2, err: err}, "")
		if _, err := p.Publish(r.Ctx(), largeMessage()); err != nil {
			t.Fatal(err)
		}
		if body, err := NewBodies(r.JS, "").Get(r.Ctx(), r.Out(1).Header.Get(contract.HeaderBodyObject), -1); err != nil || len(body) != 5000 {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		if n := len(r.names()); n != 1 {
			t.Errorf("%d objects", n)
		}
	}
}

// The write is repeated, and the answer of the second says duplicate: it may have been the
// first, so the object stays.
func TestPublish_ClaimOfALostConfirmation(t *testing.T) {
	t.Parallel()
	r, _ := published(t, smallServer, PublisherConfig{})
	p, err := NewPublisher(r.JS, PublisherConfig{ClaimCheck: true})
	r.Must(err)
	p.js = &scripted{JetStream: r.JS, left: 1, stored: true, err: context.DeadlineExceeded}
	receipt, err := p.Publish(r.Ctx(), largeMessage())
	if err != nil || !receipt.Duplicate {
		t.Fatalf("receipt %+v, %v", receipt, err)
	}
	if body, err := NewBodies(r.JS, "").Get(r.Ctx(), r.Out(1).Header.Get(contract.HeaderBodyObject), -1); err != nil || len(body) != 5000 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

// After refusals that are none of the message's, a duplicate is somebody else's.
func TestPublish_ClaimOfADuplicateAfterRefusals(t *testing.T) {
	t.Parallel()
	r, first := published(t, smallServer, PublisherConfig{ClaimCheck: true})
	_, err := first.Publish(r.Ctx(), largeMessage())
	r.Must(err)
	p, err := NewPublisher(r.JS, PublisherConfig{ClaimCheck: true, OrderSecret: outboxtest.Secret})
	r.Must(err)
	p.js = &scripted{JetStream: r.JS, left: 2, err: &jetstream.APIError{Code: 503, ErrorCode: 10008}}
	if receipt, err := p.Publish(r.Ctx(), largeMessage()); err != nil || !receipt.Duplicate {
		t.Fatalf("receipt %+v, %v", receipt, err)
	}
	r.stores(r.Out(1).Header.Get(contract.HeaderBodyObject))
}

// answersLarge answers a request with a reply whose body is in the object store, as a worker does.
func (r rig) answersLarge(object func(m Message) string) {
	r.T.Helper()
	_, err := r.JS.Conn().Subscribe("redox.out.clinic-a.request", func(in *nats.Msg) {
		ack := nats.NewMsg(in.Reply)
		ack.Data = []byte(`{"stream":"REDOX_OUT","seq":7}`)
		if err := r.JS.Conn().PublishMsg(ack); err != nil {
			r.T.Error(err)
		}
		m, err := Decode("", Stored{Subject: in.Subject, Header: in.Header, Body: in.Data, Sequence: 7})
		if err != nil {
			r.T.Error(err)
			return
		}
		reply := Reply{MessageID: m.ID, Settlement: Delivered, Status: 200, BodyObject: object(m)}
		if err := r.JS.Conn().PublishMsg(reply.Encode(m.ReplyTo)); err != nil {
			r.T.Error(err)
		}
	})
	r.Must(err)
}

// Only the caller knows of the reply to its own inbox, and removes the body when it has
// it. It removes nothing else, whatever a reply names.
func TestRequest_RemovesTheBodyOfItsOwnReply(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		claims, own, given, gone, left bool
	}{
		"own inbox":                 {claims: true, own: true, gone: true},
		"without the right":         {own: true},
		"another's object":          {claims: true},
		"inbox given by the caller": {claims: true, own: true, given: true},
		"left where it is":          {claims: true, own: true, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rig{outboxtest.With(t, natsdev.Options{})}
			cfg := (streams.Set{Names: contract.Prefix("")}).Configs()[6] // of bodies
			r.CreateStream(cfg)
			b := NewBodies(r.JS, "")
			r.answersLarge(func(m Message) string {
				object := "clinic-a/something-else"
				if tt.own {
					object = contract.Prefix("").ReplyBodyName("clinic-a", m.ID, 7)
				}
				if err := b.Put(context.Background(), object, outboxtest.Pattern(3<<20)); err != nil {
					t.Error(err)
				}
				return object
			})
			p, err := NewPublisher(r.JS, PublisherConfig{ClaimCheck: tt.claims, LeaveBodies: tt.left})
			r.Must(err)
			m := Message{Source: "clinic-a", Body: []byte(`{}`)}
			if tt.given {
				m.ReplyTo = r.JS.Conn().NewInbox()
			}
			reply, err := p.Request(r.Ctx(), m)
			if tt.left && err == nil && len(reply.Body) == 0 {
				reply.Body, err = b.Get(r.Ctx(), reply.BodyObject, -1)
			}
			if err != nil || !bytes.Equal(reply.Body, outboxtest.Pattern(3<<20)) {
				t.Fatalf("%d bytes, %v", len(reply.Body), err)
			}
			if gone := len(r.names()) == 0; gone != tt.gone {
				t.Errorf("gone: %v, want %v", gone, tt.gone)
			}
		})
	}
}

// A repeated settlement stores the body of a reply again, under its name, while it is read.
func TestBodies_GetWhileItIsReplaced(t *testing.T) {
	t.Parallel()
	r, b := newBodies(t)
	r.put(b, "a/x", outboxtest.Pattern(300_000))
	body, err := b.Open(r.Ctx(), "a/x", -1)
	r.Must(err)
	r.put(b, "a/x", outboxtest.Pattern(300_000))
	if _, err := body.ReadAll(); !errors.Is(err, ErrBodyAltered) || !body.replaced() {
		t.Errorf("reading what was replaced: %v", err)
	}
	ctx, stop := context.WithCancel(r.Ctx())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := b.Put(ctx, "a/x", outboxtest.Pattern(300_000)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}()
	for range 50 { // whole, or not at all
		if got, err := b.Get(r.Ctx(), "a/x", -1); (err != nil || !bytes.Equal(got, outboxtest.Pattern(300_000))) && !errors.Is(err, ErrBodyAltered) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	stop()
	<-done
	if got, err := b.Get(r.Ctx(), "a/x", -1); err != nil || !bytes.Equal(got, outboxtest.Pattern(300_000)) {
		t.Errorf("when nobody replaces it: %d bytes, %v", len(got), err)
	}
}
