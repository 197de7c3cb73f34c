package operate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/ledger"
)

// A run notes in the ledger which messages it is about to move before it stores them anew. One that comes
// after a run that was killed in between finds that note, and looks for each of them: in the queue, where
// it may wait under its new subject, and among the notes that workers leave of what was moved and settled.

// doubt is what one of those runs may have moved.
type doubt struct {
	ledger.Moving
	stored map[string]bool // marks of what was found in the queue; nil until it was looked for
}

// learnDoubts reads what runs that have not ended may have moved. What is in hand of this run is in that of
// no other, so that what others note later does not concern it.
func (r *strayRun) learnDoubts(ctx context.Context) (err error) {
	if r.earlier, err = r.ledger.Movings(ctx); err != nil {
		return fmt.Errorf("looking for runs that were ended in between: %w", err)
	}
	r.doubts = map[string][]*doubt{}
	for _, m := range r.earlier {
		d := &doubt{Moving: m}
		for mark := range m.To {
			r.doubts[mark] = append(r.doubts[mark], d)
		}
	}
	return nil
}

// forgetDoubts removes the notes of runs of which nothing is left where it was.
func (r *strayRun) forgetDoubts(ctx context.Context) error {
	stream, err := r.desk.js.Stream(ctx, r.desk.prefix.OutStream())
	if err != nil {
		return err
	}
	for run, m := range r.earlier {
		left := false
		for mark, sequence := range m.From {
			msg, err := stream.GetMsg(ctx, sequence)
			if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
				return err
			}
			if err == nil && ledger.Mark(outbox.Stored{Subject: msg.Subject, Sequence: msg.Sequence, Time: msg.Time}) == mark {
				left = true
				break
			}
		}
		if !left {
			if err := r.ledger.ForgetMoving(ctx, run, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// storedWithin is how long after its note a message may have been stored anew: runs give up before, and
// clocks differ.
const storedWithin = 2 * time.Minute

// lookForCopies looks in the queue for what runs that were ended may have stored anew of some messages: for
// all that one of them noted at once, since what came after it is looked through.
func (r *strayRun) lookForCopies(ctx context.Context, batch ...*strayMessage) error {
	for _, one := range batch {
		for _, d := range r.doubts[ledger.Mark(one.in)] {
			if d.stored != nil {
				continue
			}
			if err := d.look(ctx, r.desk); err != nil {
				return fmt.Errorf("looking for what was moved: %w", err)
			}
		}
	}
	return nil
}

func (d *doubt) look(ctx context.Context, desk *Desk) error {
	queue, err := desk.js.Stream(ctx, desk.prefix.OutStream())
	if err != nil {
		return err
	}
	missing := map[string]int{}
	for _, to := range d.To {
		missing[to]++
	}
	stored := map[string]bool{}
	for to, n := range missing {
		for from := d.After + 1; n > 0; {
			msg, err := queue.GetMsg(ctx, from, jetstream.WithGetMsgSubject(to))
			if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Time.After(d.At.Add(storedWithin)) {
				break
			}
			if err != nil {
				return err
			}
			if mark := msg.Header.Get(contract.HeaderMoved); d.To[mark] == to && !stored[mark] {
				stored[mark] = true
				n--
			}
			from = msg.Sequence + 1
		}
	}
	d.stored = stored
	return nil
}

// wasMoved reports whether a message that other runs were about to move was stored anew. It was looked for
// in the queue before: what leaves the queue leaves a note first.
func (r *strayRun) wasMoved(ctx context.Context, mark string) (bool, error) {
	for _, d := range r.doubts[mark] {
		if d.stored[mark] {
			return true, nil
		}
		source, _, _, _ := r.desk.prefix.ParseOut(d.To[mark])
		if moved, err := r.ledger.Moved(ctx, source, mark); moved || err != nil {
			return moved, err
		}
	}
	return false, nil
}

// forgotten reports whether it may have been moved so long ago that nobody knows any more.
func (r *strayRun) forgotten(mark string) bool {
	return slices.ContainsFunc(r.doubts[mark], func(d *doubt) bool { return time.Since(d.At) > ledger.MovedTTL })
}

const (
	// heldFor is how long the consumer of a run that was killed keeps its messages from others.
	heldFor = 30 * time.Second
	// strayWait is longer than a run: what it leaves where it is does not come again.
	strayWait = 12 * time.Hour
	// idleFor is since when the consumer of a lane must not have delivered anything: an attempt takes less.
	idleFor = 5 * time.Minute
	// consumerTries are those to make one, a second apart: longer than heldFor.
	consumerTries = 45
)

// codeOverlap is that of a consumer of a work queue that reads what another does (nats-server 2.15,
// errors.json).
const (
	codeOverlap     jetstream.ErrorCode = 10100
	codeExclusively jetstream.ErrorCode = 10099
)

// consumer makes one of what is astray. Nobody else can read it while it is there. What another run has
// that was killed is waited for, and a lane's consumer that nobody uses any more gives way.
func (r *strayRun) consumer(ctx context.Context, filters []string) (consumer jetstream.Consumer, end func(), err error) {
	sum := sha256.Sum256([]byte(strings.Join(filters, "\x00")))
	name, queue := "astray-"+hex.EncodeToString(sum[:8]), r.desk.prefix.OutStream()
	cfg := jetstream.ConsumerConfig{Name: name, Durable: name, FilterSubjects: filters, AckPolicy: jetstream.AckExplicitPolicy, AckWait: strayWait,
		MaxDeliver: -1, MaxAckPending: -1, InactiveThreshold: heldFor, Metadata: map[string]string{"run": r.run}}
	for try := 1; ; try++ {
		consumer, err = r.desk.js.CreateConsumer(ctx, queue, cfg)
		if err == nil {
			return consumer, func() {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer cancel()
				_ = r.desk.js.DeleteConsumer(ctx, queue, name) // else the server does
			}, nil
		}
		if !overlaps(err) {
			return nil, nil, fmt.Errorf("taking messages from the queue: %w", err)
		}
		if err := r.makeRoom(ctx); err != nil {
			return nil, nil, err
		}
		if try == consumerTries {
			return nil, nil, errors.New("another run has these messages; when it has ended, run this one again")
		}
		timer := time.NewTimer(time.Second)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, context.Cause(ctx)
		}
	}
}

func overlaps(err error) bool {
	var api jetstream.JetStreamError
	if !errors.As(err, &api) || api.APIError() == nil {
		return errors.Is(err, jetstream.ErrConsumerExists)
	}
	code := api.APIError().ErrorCode
	return code == codeOverlap || code == codeExclusively || errors.Is(err, jetstream.ErrConsumerExists)
}

// makeRoom removes the consumers of lanes that no worker serves any more. One that has delivered something
// of late stays: somebody may be sending that.
func (r *strayRun) makeRoom(ctx context.Context) error {
	queue := r.desk.prefix.OutStream()
	seen := map[string]bool{}
	for _, k := range r.strays.Kinds {
		if k.Lane == "" {
			continue
		}
		name := r.desk.prefix.LaneConsumer(k.Source, k.Lane)
		if seen[name] {
			continue
		}
		seen[name] = true
		consumer, err := r.desk.js.Consumer(ctx, queue, name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		info := consumer.CachedInfo()
		if info.NumWaiting > 0 {
			return fmt.Errorf("a worker reads the messages of %s by now, and will send them: look again what is astray", k.Source)
		}
		if last := info.Delivered.Last; info.NumAckPending > 0 && last != nil {
			if ago := info.TimeStamp.Sub(*last); ago < idleFor {
				return fmt.Errorf("a worker took %d messages of %s %s ago and may be sending them: wait until it has ended, and %s more", info.NumAckPending, k.Source, ago.Round(time.Second), idleFor)
			}
		}
		if err := r.desk.js.DeleteConsumer(ctx, queue, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	return nil
}
