package bench

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// sceneTraffic publishes messages of many sources and knows what became of each. It is safe
// for concurrent use.
type sceneTraffic struct {
	scene     *scene
	publisher *outbox.Publisher // for what does not fit into a message
	inbox     string
	token     string // last part of the inbox

	mu   sync.Mutex
	all  []sceneMessage // by number
	open int            // without a reply
	turn int            // of the light traffic
}

// sceneMessage is one that was published.
type sceneMessage struct {
	source        int
	lane          contract.Lane
	order         string // its order token; "": none
	sent, settled time.Time
	settlement    outbox.Settlement
	flagged       string // what the reply says went wrong
}

// sceneKind is what is to be published.
type sceneKind struct {
	source  int
	lane    contract.Lane
	order   string // order token
	fhir    bool   // a FHIR writeback to a destination of its own
	durable bool   // its reply goes to the stream of replies
	size    int    // of the body, at least; 0: small
	note    string // stands in the body
}

func newSceneTraffic(s *scene) (*sceneTraffic, error) {
	t := &sceneTraffic{scene: s, inbox: s.conn.NewInbox()}
	t.token = t.inbox[strings.LastIndexByte(t.inbox, '.')+1:]
	var err error
	if t.publisher, err = outbox.NewPublisher(s.js, outbox.PublisherConfig{ClaimCheck: true}); err != nil {
		return nil, err
	}
	for _, subject := range []string{t.inbox + ".*", "redox.reply.>"} {
		sub, err := s.conn.Subscribe(subject, t.take)
		if err != nil {
			return nil, err
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return nil, err
		}
	}
	return t, s.conn.Flush()
}

// take notes a reply. The first counts: a durable one is seen each time that it is published.
func (t *sceneTraffic) take(msg *nats.Msg) {
	now := time.Now()
	number, err := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || number >= len(t.all) || !t.all[number].settled.IsZero() {
		return
	}
	m := &t.all[number]
	m.settled, m.settlement, m.flagged = now, outbox.Settlement(msg.Header.Get(contract.HeaderSettlement)), msg.Header.Get(contract.HeaderError)
	t.open--
}

// light is the kind of the next message of the light traffic: of all sources in turn, one half
// SENDs and one half REQUESTs, half of those in order, and half of these answered durably.
func (t *sceneTraffic) light() sceneKind {
	t.mu.Lock()
	defer t.mu.Unlock()
	source, round := t.turn%t.scene.sources, t.turn/t.scene.sources
	t.turn++
	k := sceneKind{source: source, lane: contract.LaneSend}
	switch (source + round) % 4 {
	case 1:
		k.lane = contract.LaneRequest
	case 2:
		k.order = sceneToken(source, round/4%2)
	case 3:
		k.lane, k.durable = contract.LaneRequest, true
	}
	return k
}

// sceneToken is an order token of a source.
func sceneToken(source, n int) string { return fmt.Sprintf("%016x%016x", source, n) }

// publish stores a message, without waiting for its confirmation.
func (t *sceneTraffic) publish(ctx context.Context, k sceneKind) error {
	if k.order != "" {
		k.lane = contract.LaneOrdered
	}
	t.mu.Lock()
	number := len(t.all)
	t.all = append(t.all, sceneMessage{source: k.source, lane: k.lane, order: k.order, sent: time.Now()})
	t.open++
	t.mu.Unlock()
	m := t.message(k, number)
	if k.size > 0 {
		_, err := t.publisher.Publish(ctx, m)
		return err
	}
	msg, err := m.Encode("")
	if err != nil {
		return err
	}
	msg.Header.Set(contract.HeaderID, m.ID)
	_, err = t.scene.js.PublishMsgAsync(msg, jetstream.WithStallWait(stepPatience))
	return err
}

// message with a number.
func (t *sceneTraffic) message(k sceneKind, number int) outbox.Message {
	m := outbox.Message{ID: messageID(t.inbox, number), Source: sourceName(k.source), Lane: k.lane, OrderToken: k.order,
		ReplyTo: messageID(t.inbox, number), Body: sceneBody(k, number)}
	if k.durable {
		m.ReplyTo = "redox.reply." + m.Source + "." + messageID(t.token, number)
	}
	if k.fhir {
		m.Kind, m.Method, m.Path, m.ContentType = outbox.KindFHIR, http.MethodPost, sceneSlug+"/Development/Patient/$patient-update", "application/fhir+json"
	}
	return m
}

// sceneSlug is the destination of FHIR messages.
const sceneSlug = "big-clinic"

// sceneBody holds the number as the simulator's key of the message.
func sceneBody(k sceneKind, number int) []byte {
	filling := k.note + strings.Repeat("x", k.size)
	if k.fhir {
		return fmt.Appendf(nil, `{"_sim":{"key":"%d"},"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader",`+
			`"eventUri":"https://fhir.redoxengine.com/EventDefinition/PatientUpdate","source":{"endpoint":"urn:uuid:%s"}}},`+
			`{"resource":{"resourceType":"Patient","name":[{"family":"Patient%s"}]}}]}`, number, sourceID(k.source), filling)
	}
	model, event := "PatientAdmin", "Arrival"
	if k.lane == contract.LaneRequest {
		model, event = "PatientSearch", "Query"
	}
	return fmt.Appendf(nil, `{"_sim":{"key":"%d"},"Meta":{"DataModel":"%s","EventType":"%s","Test":true,`+
		`"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9","Name":"Redox EMR"}]},"Patient":{"Identifiers":[{"ID":"0000000001","IDType":"MR"}],"Notes":["%s"]}}`,
		number, model, event, filling)
}

// many publishes n messages of a kind as fast as they are confirmed.
func (t *sceneTraffic) many(ctx context.Context, n int, k sceneKind) error {
	for range n {
		if err := t.publish(ctx, k); err != nil {
			return err
		}
	}
	return within(ctx, t.scene.js.PublishAsyncComplete(), stepPatience, "messages were not stored")
}

// steady publishes light traffic for so long, and answers the numbers from and before which it was.
func (t *sceneTraffic) steady(ctx context.Context, rate int, d time.Duration) (from, to int, err error) {
	from = t.count()
	err = atRate(ctx, rate, d, func() error { return t.publish(ctx, t.light()) })
	return from, t.count(), err
}

func (t *sceneTraffic) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.all)
}

// openOf is how many messages of a source are not settled.
func (t *sceneTraffic) openOf(source int) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.all {
		if m := &t.all[i]; m.source == source && m.settled.IsZero() {
			n++
		}
	}
	return n
}

// settled waits until the messages from a number on and before another that are not of a source
// are settled, or patience is over. It does not fail.
func (t *sceneTraffic) settled(ctx context.Context, from, to, but int, patience time.Duration) {
	_ = eventually(ctx, patience, func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		for i := range t.all[from:to] {
			if m := &t.all[from+i]; m.settled.IsZero() && m.source != but {
				return errTimeout
			}
		}
		return nil
	})
}

// drainPatience is how long what waits may take to be settled.
const drainPatience = 10 * time.Minute

// done waits until all messages of a source from a number on are settled, and answers how many
// seconds after a moment the last one was.
func (t *sceneTraffic) done(ctx context.Context, source, from int, since time.Time) (seconds float64, err error) {
	err = eventually(ctx, drainPatience, func() error {
		t.mu.Lock()
		defer t.mu.Unlock()
		for i := range t.all[from:] {
			m := &t.all[from+i]
			if m.source != source {
				continue
			}
			if m.settled.IsZero() {
				return errTimeout
			}
			seconds = max(seconds, m.settled.Sub(since).Seconds())
		}
		return nil
	})
	return seconds, err
}

// sceneLatency is what a lane of all sources but one took.
type sceneLatency struct {
	Messages int     `json:"messages"`
	Missing  int     `json:"missing"` // not settled in time, or not delivered
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
}

// latency of SENDs, or of REQUESTs, from a number on and before another, that are not of a source.
func (t *sceneTraffic) latency(from, to, but int, requests bool) (l sceneLatency) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var took []time.Duration
	for i := range t.all[from:to] {
		m := &t.all[from+i]
		if m.source == but || (m.lane == contract.LaneRequest) != requests {
			continue
		}
		if l.Messages++; m.settlement != outbox.Delivered || m.flagged != "" {
			l.Missing++
			continue
		}
		took = append(took, m.settled.Sub(m.sent))
	}
	if len(took) == 0 {
		return l
	}
	slices.Sort(took)
	ms := func(q int) float64 { return float64(took[len(took)*q/100].Microseconds()) / 1e3 }
	l.P50, l.P99 = ms(50), ms(99)
	return l
}
