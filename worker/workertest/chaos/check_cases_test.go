package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// zero is the instant from which the records of these tests count.
var zero = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// sent is a request of worker w1 that was taken, from and to in ms, which serve as ticks too.
func sent(id string, from, to int) Request {
	return Request{ID: id, Worker: "w1", Begin: uint64(from), Finish: uint64(to), Start: at(from), End: at(to), Status: 200, Accepted: true}
}

func refused(id string, from, to int) Request {
	q := sent(id, from, to)
	q.Status, q.Accepted = 503, false
	return q
}

// good is a record without fault: two ordered messages, the second after a 503, one with a
// reply, one that is rejected.
func good() Record {
	return Record{
		Published: []Published{
			{ID: "a1", Key: "a", Confirmed: true},
			{ID: "a2", Key: "a", Confirmed: true},
			{ID: "m", Confirmed: true, ReplyTo: "redox.reply.s.m"},
			{ID: "bad", Confirmed: true, Dies: outbox.Rejected},
		},
		Requests: []Request{
			sent("a1", 1000, 1050), refused("a2", 1100, 1150), sent("a2", 1300, 1350),
			sent("m", 1010, 1060), {ID: "bad", Worker: "w2", Begin: 1400, Finish: 1420, Start: at(1400), End: at(1420), Status: 400},
		},
		Replies: []Reply{{Subject: "redox.reply.s.m", MessageID: "m", Settlement: outbox.Delivered, Status: 200}},
		Dead:    []Dead{{MessageID: "bad", Settlement: outbox.Rejected}},
		Audit: []Audit{{MessageID: "a1", Settlement: outbox.Delivered}, {MessageID: "a2", Settlement: outbox.Delivered},
			{MessageID: "m", Settlement: outbox.Delivered}, {MessageID: "bad", Settlement: outbox.Rejected}},
		Stored: 4,
	}
}

func TestCheck_AcceptsAGoodRecord(t *testing.T) {
	if v := Check(good(), Slack{}); len(v) != 0 {
		t.Errorf("violations of a good record: %v", v)
	}
}

// drop removes what fits from a slice.
func drop[T any](list *[]T, fits func(T) bool) { *list = slices.DeleteFunc(*list, fits) }

func TestCheck_FindsWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		breaks func(*Record)
		want   []Kind
	}{
		"a loss":                {func(r *Record) { drop(&r.Requests, func(q Request) bool { return q.ID == "a2" }) }, []Kind{Lost}},
		"a loss after refusals": {func(r *Record) { drop(&r.Requests, func(q Request) bool { return q.ID == "a2" && q.Accepted }) }, []Kind{Lost}},
		"a message left behind": {func(r *Record) { r.Queued = 1 }, []Kind{Left}},
		"stored twice":          {func(r *Record) { r.Stored++ }, []Kind{StoredTwice}},
		"an empty record":       {func(r *Record) { *r = Record{} }, []Kind{NeverSent}},
		"a duplicate":           {func(r *Record) { r.Requests = append(r.Requests, sent("m", 1200, 1250)) }, []Kind{Unexplained}},
		"a duplicate unanswered": {func(r *Record) {
			r.Requests[3].Status, r.Requests[3].Accepted = 0, false
			r.Requests = append(r.Requests, sent("m", 1200, 1250))
		}, []Kind{Unexplained}},
		"an earlier message": {func(r *Record) { r.Requests = append(r.Requests, refused("a1", 1500, 1550)) }, []Kind{OutOfOrder, Unexplained}},
		"a swapped pair":     {func(r *Record) { r.Published[0], r.Published[1] = r.Published[1], r.Published[0] }, []Kind{OutOfOrder, OutOfOrder, OutOfOrder}},
		"ahead of a retry": {func(r *Record) {
			r.Requests[0] = refused("a1", 1000, 1050)
			r.Requests = append(r.Requests, sent("a1", 1075, 1090), refused("a2", 1055, 1060))
		}, []Kind{OutOfOrder, OutOfOrder}},
		"ahead of a dead letter": {func(r *Record) {
			r.Published[0].Dies = outbox.Rejected
			r.Requests[0].Status, r.Requests[0].Accepted = 400, false
			r.Dead = append(r.Dead, Dead{MessageID: "a1", Settlement: outbox.Rejected, At: at(1200)})
			r.Audit[0].Settlement = outbox.Rejected
		}, []Kind{OutOfOrder}},
		"an overlap of a key":    {func(r *Record) { r.Requests[0] = sent("a1", 1000, 1110) }, []Kind{Overlapping}},
		"an overlap, unfinished": {func(r *Record) { r.Requests[0].Finish, r.Requests[0].End = 0, time.Time{} }, []Kind{Overlapping, Overlapping}},
		"a missing reply":        {func(r *Record) { r.Replies = nil }, []Kind{NoReply}},
		"a second reply":         {func(r *Record) { r.Replies = append(r.Replies, r.Replies[0]) }, []Kind{WrongReply}},
		"a contradicting reply":  {func(r *Record) { r.Replies[0].Settlement = outbox.Held }, []Kind{WrongReply}},
		"a reply elsewhere":      {func(r *Record) { r.Replies[0].Subject = "redox.reply.s.other" }, []Kind{WrongReply}},
		"a missing dead letter":  {func(r *Record) { r.Dead = nil }, []Kind{Lost, NoAudit, WrongDead}},
		"a second dead letter":   {func(r *Record) { r.Dead = append(r.Dead, r.Dead[0]) }, []Kind{WrongDead}},
		"another settlement":     {func(r *Record) { r.Dead[0].Settlement = outbox.Poison }, []Kind{NoAudit, WrongDead}},
		"a dead letter unasked":  {func(r *Record) { r.Dead = append(r.Dead, Dead{MessageID: "a1", Settlement: outbox.Held}) }, []Kind{NoAudit, WrongDead}},
		"a missing audit entry":  {func(r *Record) { r.Audit = r.Audit[1:] }, []Kind{NoAudit}},
		"a request from nowhere": {func(r *Record) { r.Requests = append(r.Requests, sent("x", 1, 2)) }, []Kind{UnknownThing}},
		"a reply from nowhere":   {func(r *Record) { r.Replies = append(r.Replies, Reply{MessageID: "x"}) }, []Kind{UnknownThing}},
		"a dead letter, nowhere": {func(r *Record) { r.Dead = append(r.Dead, Dead{MessageID: "x"}) }, []Kind{UnknownThing}},
		"held and sent again":    {func(r *Record) { r.Published[2].Hold = true; r.Requests = append(r.Requests, sent("m", 1200, 1250)) }, []Kind{HeldResent}},
		"held, kill is no excuse": {func(r *Record) {
			r.Published[2].Hold = true
			r.Requests = append(r.Requests, sent("m", 1200, 1250))
			r.Interruptions = killed("w1", 1030)
		}, []Kind{HeldResent}},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			c.breaks(&r)
			var got []Kind
			for _, v := range Check(r, Slack{}) {
				got = append(got, v.Kind)
			}
			slices.Sort(got)
			slices.Sort(c.want)
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

func killed(worker string, ms int) []Interruption {
	return []Interruption{{Fault: Kill, Target: worker, From: at(ms), To: at(ms + 10)}}
}

// A duplicate is excused by an interruption of its own worker or of NATS while the first
// request was in flight or about to be acknowledged, and by nothing else.
func TestCheck_ExplainsDuplicates(t *testing.T) {
	nats := func(ms int) []Interruption {
		return []Interruption{{Fault: Kill, Target: "nats-1", NATS: true, From: at(ms), To: at(ms + 100)}}
	}
	stopped := []Interruption{{Fault: Stop, Target: "w1", From: at(1020), To: at(4000)}}
	for name, c := range map[string]struct {
		why    []Interruption
		excuse bool
	}{
		"killed while in flight":           {killed("w1", 1030), true},
		"killed before the ack":            {killed("w1", 1080), true},
		"killed long after":                {killed("w1", 2500), false},
		"killed long before":               {killed("w1", 300), false},
		"another worker killed":            {killed("w2", 1030), false},
		"stopped while in flight":          {stopped, true},
		"NATS killed while in flight":      {nats(1030), true},
		"NATS killed just before":          {nats(850), true},
		"NATS killed long before":          {nats(300), false},
		"killed after it was sent again":   {killed("w1", 3100), false},
		"nothing happened":                 {nil, false},
		"NATS killed after the second one": {nats(3100), false},
	} {
		r := good()
		again := sent("m", 3000, 3050)
		again.Worker = "w3"
		r.Requests = append(r.Requests, again)
		r.Interruptions = c.why
		want := fmt.Sprint([]Kind{Unexplained})
		if c.excuse {
			want = fmt.Sprint([]Kind(nil))
		}
		var got []Kind
		for _, v := range Check(r, Slack{}) {
			got = append(got, v.Kind)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: found %v, want %s", name, got, want)
		}
	}
}

// What a fault of the far side broke off may be sent again, unless it is to be held; an
// unconfirmed message may be lost.
func TestCheck_AllowsWhatTheContractAllows(t *testing.T) {
	r := good()
	broken := Request{ID: "m", Worker: "w1", Begin: 900, Finish: 950, Start: at(900), End: at(950), Broken: true, Accepted: true}
	r.Requests = append(r.Requests, broken)
	r.Published = append(r.Published, Published{ID: "unconfirmed", Errors: 1})
	r.Stored++
	if v := Check(r, Slack{}); len(v) != 0 {
		t.Errorf("violations: %v", v)
	}
	r.Published[2].Hold = true
	if v := Check(r, Slack{}); len(v) != 1 || v[0].Kind != HeldResent {
		t.Errorf("violations under hold: %v", v)
	}
	r.Requests = r.Requests[:len(r.Requests)-1]
	r.Dead = append(r.Dead, Dead{MessageID: "m", Settlement: outbox.Held})
	r.Audit = append(r.Audit, Audit{MessageID: "m", Settlement: outbox.Held})
	if v := Check(r, Slack{}); len(v) != 0 {
		t.Errorf("violations of a message that was held after its reply: %v", v)
	}
}

// A worker that was stopped in the very act of sending is excused, and one that began to
// send only when it went on is not.
func TestCheck_AWorkerStoppedWhileItSends(t *testing.T) {
	for left, want := range map[int]int{1010: 0, 3001: 3} {
		r := good()
		late := sent("a1", 3005, 3080)
		late.Worker, late.Left = "w3", at(left)
		r.Requests = append(r.Requests, late, sent("a2", 3050, 3090))
		r.Requests[2] = refused("a2", 1300, 1350)
		r.Interruptions = []Interruption{{Fault: Stop, Target: "w3", From: at(1015), To: at(3000)}}
		if v := Check(r, Slack{}); len(v) != want {
			t.Errorf("left at %d: %v", left, v)
		}
	}
}

// The request of one message may overlap its own repetition when its worker was stopped,
// and never another message of the key.
func TestCheck_OverlapOfATakenOverRequest(t *testing.T) {
	r := good()
	first := sent("a1", 1000, 1900)
	again := sent("a1", 1060, 1080)
	again.Worker = "w2"
	r.Requests = append(r.Requests[1:], first, again)
	r.Interruptions = []Interruption{{Fault: Stop, Target: "w1", From: at(1010), To: at(5000)}}
	var got []Kind
	for _, v := range Check(r, Slack{}) {
		got = append(got, v.Kind)
	}
	if fmt.Sprint(got) != fmt.Sprint([]Kind{Overlapping, Overlapping}) { // both of a2's, with the first of a1
		t.Errorf("found %v", got)
	}
}
