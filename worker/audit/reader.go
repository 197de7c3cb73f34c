package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/bucket"
)

// Query selects entries. A field that is empty selects all.
type Query struct {
	// Source of the entries. Deeds that concern several sources are among those of each.
	Source string
	// Actions of deeds, By who did them, a part of the name; Message the id of a message that a
	// deed names, or that was settled.
	Actions []Action
	By      string
	Message string
	// Since and Until bound when the stream stored an entry: Since <= then < Until.
	Since, Until time.Time
	// After is the place in the stream of an entry: only what was stored after it.
	After uint64
	// Settlements adds those of messages, of which there are many more than deeds, unless Actions or By
	// say otherwise.
	Settlements bool
	// Follow goes on with what is written later, until ctx ends, which is no error then, or an entry is
	// stored that is not before Until.
	Follow bool
}

// Record is one entry of the stream: a Deed or an Entry.
type Record struct {
	Deed  *Deed  `json:"deed,omitempty"`
	Entry *Entry `json:"entry,omitempty"`
	// Stored and Sequence say when and where the stream took it.
	Stored   time.Time `json:"stored"`
	Sequence uint64    `json:"sequence"`
}

// Reader reads the stream of the audit trail. It needs the right to make consumers on it.
type Reader struct {
	js     jetstream.JetStream
	prefix contract.Prefix
}

// NewReader makes no request.
func NewReader(js jetstream.JetStream, p contract.Prefix) *Reader { return &Reader{js: js, prefix: p} }

// idle is how long nothing may come before it is looked whether something can.
const idle = time.Second

// List yields the entries that q selects, in the order in which they were stored. What is stored
// after it began is left out unless q follows. Memory does not grow with their number. A part of a
// large deed is yielded only where its ids are asked for by Message, and the outcome of a deed is where
// the deed was; an entry that cannot be read is passed over. An error is the last thing it yields.
func (r *Reader) List(ctx context.Context, q Query) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if err := r.list(ctx, q, yield); err != nil && !(q.Follow && ctx.Err() != nil) {
			yield(Record{}, err)
		}
	}
}

func (r *Reader) list(ctx context.Context, q Query, yield func(Record, error) bool) error {
	if r.js == nil {
		return bucket.ErrNoJetStream
	}
	stream, err := r.js.Stream(ctx, r.prefix.AuditStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("worker: there is no stream %s: run `redoxworker provision`", r.prefix.AuditStream())
	}
	if err != nil {
		return fmt.Errorf("worker: looking for stream %s: %w", r.prefix.AuditStream(), err)
	}
	last := stream.CachedInfo().State.LastSeq
	cfg := jetstream.OrderedConsumerConfig{FilterSubjects: r.subjects(q), InactiveThreshold: time.Minute, DeliverPolicy: jetstream.DeliverAllPolicy}
	switch {
	case q.After > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, q.After+1
	case !q.Since.IsZero():
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &q.Since
	}
	consumer, err := stream.OrderedConsumer(ctx, cfg)
	if err != nil {
		return fmt.Errorf("worker: reading stream %s: %w", r.prefix.AuditStream(), err)
	}
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
		defer cancel()
		_ = stream.DeleteConsumer(done, consumer.CachedInfo().Name) // else the server does, after a minute
	}()
	if !q.Follow && consumer.CachedInfo().NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(500), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return fmt.Errorf("worker: reading stream %s: %w", r.prefix.AuditStream(), err)
	}
	defer messages.Stop()
	return r.read(ctx, q, consumer, messages, last, yield)
}

func (r *Reader) read(ctx context.Context, q Query, consumer jetstream.Consumer, messages jetstream.MessagesContext, last uint64, yield func(Record, error) bool) error {
	named := namedDeeds{}
	for {
		look, cancel := context.WithTimeout(ctx, idle)
		msg, err := messages.Next(jetstream.NextContext(look))
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("worker: reading stream %s: %w", r.prefix.AuditStream(), err)
			}
			if q.Follow {
				continue
			}
			if info, err := consumer.Info(ctx); err != nil || info.NumPending == 0 {
				return err
			}
			continue
		}
		meta, err := msg.Metadata()
		if err != nil {
			return fmt.Errorf("worker: reading stream %s: %w", r.prefix.AuditStream(), err)
		}
		late := !q.Until.IsZero() && !meta.Timestamp.Before(q.Until)
		if late || !q.Follow && meta.Sequence.Stream > last {
			return nil
		}
		if record, ok := decode(msg.Subject(), msg.Data(), meta); ok && (q.selects(record) || named.ends(record)) {
			if named.note(q, record); !yield(record, nil) {
				return nil
			}
		}
		if !q.Follow && meta.NumPending == 0 {
			return nil
		}
	}
}

// subjects are the narrowest filters that cover q.
func (r *Reader) subjects(q Query) []string {
	source := q.Source
	if source == "" {
		source = "*"
	}
	all := []string{r.prefix.String() + ".audit." + source + ".deed"}
	if q.Source != "" && q.Source != contract.NoSource {
		all = append(all, r.prefix.DeedSubject(""))
	}
	if q.Settlements && len(q.Actions) == 0 && q.By == "" {
		all = append(all, r.prefix.String()+".audit."+source)
	}
	return all
}

func decode(subject string, data []byte, meta *jetstream.MsgMetadata) (r Record, ok bool) {
	r = Record{Stored: meta.Timestamp, Sequence: meta.Sequence.Stream}
	if strings.HasSuffix(subject, ".deed") {
		r.Deed = new(Deed)
		return r, json.Unmarshal(data, r.Deed) == nil && r.Deed.Action != ""
	}
	r.Entry = new(Entry)
	return r, json.Unmarshal(data, r.Entry) == nil && r.Entry.Message != ""
}

func (q Query) selects(r Record) bool {
	if e := r.Entry; e != nil {
		return q.Message == "" || e.Message == q.Message
	}
	d := r.Deed
	if d.Part > 0 && q.Message == "" {
		return false
	}
	return (len(q.Actions) == 0 || slices.Contains(q.Actions, d.Action)) && strings.Contains(d.By, q.By) &&
		(q.Source == "" || d.Source == q.Source || d.Source == "" && q.concerns(d)) && (q.Message == "" || d.names(q.Source, q.Message))
}

// namedDeeds are those that name a message that is asked for: their outcomes do not.
type namedDeeds map[string]bool

func (n namedDeeds) note(q Query, r Record) {
	if q.Message != "" && r.Deed != nil {
		n[r.Deed.ID] = true
	}
}

// ends reports whether r is the outcome of one of them.
func (n namedDeeds) ends(r Record) bool {
	return r.Deed != nil && r.Deed.Outcome != "" && r.Deed.Part == 0 && n[r.Deed.ID]
}

// concerns reports whether a deed about several sources is about that of q. One that does not say
// which may be.
func (q Query) concerns(d *Deed) bool {
	_, named := d.IDs[q.Source]
	return named || len(d.IDs) == 0
}

// names reports whether a deed is about a message of a source, or of any where that is "".
func (d *Deed) names(source, id string) bool {
	for of, ids := range d.IDs {
		if (source == "" || source == of) && slices.Contains(ids, id) {
			return true
		}
	}
	return false
}
