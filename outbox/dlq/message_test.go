package dlq

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func TestDeadLetter_ReplayID(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		id, of, count, want string
		n                   int
	}{
		{"m-1", "", "", "m-1:r1", 1},
		{"m-1:r1", "m-1", "1", "m-1:r2", 2},
		{"m-1:r41", "m-1:r40", "41", "m-1:r42", 42},
		{"m-1:r1", "", "", "m-1:r1:r1", 1}, // the application's own
		{"m-1:r1", "", "1", "m-1:r1:r1", 1},
		{"m-1:r1", "m-1", "2", "m-1:r1:r3", 3}, // somebody else's replay
		{":r1", "x", "1", ":r1:r2", 2},
		{"m-1:r1", "m-1", "x", "m-1:r1:r1", 1},
		{"REDOX_OUT:7", "", "", "REDOX_OUT:7:r1", 1},
		{"m-1:r41", "m-1", "41", "m-1:r42", 42},
		{"m-1:r999", "m-1", "999", "m-1:r1000", 1000},
	} {
		d := Letter{MessageID: tt.id, Header: nats.Header{contract.HeaderReplayOf: {tt.of}, contract.HeaderReplayCount: {tt.count}}}
		if got, n := d.ReplayID(); got != tt.want || n != tt.n {
			t.Errorf("%s of %q, count %q: %s %d, want %s %d", tt.id, tt.of, tt.count, got, n, tt.want, tt.n)
		}
	}
}

func TestDeadLetter_ReplayGolden(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	d := goldenDeadLetter()
	maps.Copy(d.Header, nats.Header{contract.HeaderOrderToken: {goldenToken}, contract.HeaderDeadline: {"2026-11-24T00:00:01Z"}, "traceparent": {"kept"},
		"Nats-Rollup": {"all"}, "redox-dead-error": {"forged"}})
	d.Body = []byte(`{}`)
	before := maps.Clone(d.Header)
	r, err := d.replay("", "m-1:r1", 1, now)
	if err != nil {
		t.Fatal(err)
	}
	want := nats.Header{
		"Redox-Reply-To": {"_INBOX.x"}, "X-Mine": {"1", "2"}, "Redox-Order-Token": {goldenToken}, "Redox-Deadline": {"2026-11-24T00:00:01Z"},
		"traceparent": {"kept"}, "Redox-Message-Id": {"m-1:r1"}, "Redox-Replay-Of": {"m-1"}, "Redox-Replay-Count": {"1"}, "Redox-Order-Position": {"77"},
		"Redox-Order-Behind": {"70"},
	}
	if diff := cmp.Diff(want, r.msg.Header); diff != "" {
		t.Errorf("header (-want +got)\n%s", diff)
	}
	if r.msg.Subject != "redox.out.clinic-a.send."+goldenToken || string(r.msg.Data) != "{}" || r.expired {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(before, d.Header); diff != "" {
		t.Errorf("replay changed the dead letter\n%s", diff)
	}
	// The replay fails, and is replayed: it counts on, and keeps its place.
	again := goldenDeadLetter()
	again.MessageID, again.Sequence, again.Header, again.Body = "m-1:r1", 200, r.msg.Header, d.Body
	id, n := again.ReplayID()
	if r, err = again.replay("", id, n, now.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	want["Redox-Message-Id"], want["Redox-Replay-Of"], want["Redox-Replay-Count"] = []string{"m-1:r2"}, []string{"m-1"}, []string{"2"}
	delete(want, "Redox-Deadline")
	if diff := cmp.Diff(want, r.msg.Header); diff != "" || !r.expired {
		t.Errorf("second replay, expired %v (-want +got)\n%s", r.expired, diff)
	}
}

func TestDeadLetter_ReplaySubjects(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ subject, token, want string }{
		{"redox.out.clinic-a.send", "", "redox.out.clinic-a.send"},
		{"redox.out.clinic-a.request", "", "redox.out.clinic-a.request"},
		{"redox.out.clinic-a.send", goldenToken, "error: Redox-Order-Token"}, // a plain client's: it was never ordered
		{"redox.out.clinic-a.send." + goldenToken, goldenToken, "redox.out.clinic-a.send." + goldenToken},
		{"redox.out.clinic-a.send." + goldenToken, "", "redox.out.clinic-a.send." + goldenToken}, // a plain client's
		{"redox.out.clinic-a.send." + goldenToken, "no token", "error: Redox-Order-Token"},
		{"redox.out.clinic-a.send." + goldenToken, strings.Repeat("0", 32), "error: Redox-Order-Token"},
		{"redox.out.clinic-a.send.patient-1", "", "error: none that a worker serves"},
		{"redox.out.A.send", "", "error: none that a worker serves"},
		{"redox.out.clinic-a", "", "error: none that a worker serves"},
		{"redox.out.clinic-a.send.x.y", "", "error: none that a worker serves"},
		{"team.out.clinic-a.send", "", "error: none that a worker serves"},
		{"", "", "error: none that a worker serves"},
	} {
		d := goldenDeadLetter()
		d.Subject = tt.subject
		if tt.token != "" {
			d.Header[contract.HeaderOrderToken] = []string{tt.token}
		}
		r, err := d.replay("", "m-1:r1", 1, buriedAt)
		if text, refuses := strings.CutPrefix(tt.want, "error: "); refuses {
			if err == nil || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "no token") {
				t.Errorf("%s: error %v, want one with %q", tt.subject, err, text)
			}
			continue
		}
		if err != nil || r.msg.Subject != tt.want || r.source != "clinic-a" {
			t.Errorf("%s: %+v, %v; want %s", tt.subject, r, err, tt.want)
		}
	}
}

// What a worker would refuse again stays a dead letter.
func TestDeadLetter_ReplayRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Letter){
		"kind": func(d *Letter) { d.Header[contract.HeaderKind] = []string{"x"} },
		"path": func(d *Letter) {
			d.Header[contract.HeaderKind], d.Header[contract.HeaderPath] = []string{"fhir"}, []string{"/../x"}
		},
		"twice":       func(d *Letter) { d.Header[contract.HeaderReplyTo] = []string{"a", "b"} },
		"deadline":    func(d *Letter) { d.Header[contract.HeaderDeadline] = []string{"soon"} },
		"both bodies": func(d *Letter) { d.Header[contract.HeaderBodyObject] = []string{"clinic-a/x"} },
	} {
		d := goldenDeadLetter()
		change(&d)
		id, n := d.ReplayID()
		_, err := d.replay("", id, n, buriedAt)
		var refused *outbox.ContractError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), "publish it anew without that, then discard it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever was dead-lettered: a replay is what a worker takes, in the lane it came
// from, and carries no instruction to the stream.
func FuzzDeadLetter_Replay(f *testing.F) {
	f.Add("redox.out.clinic-a.send", "m-1", "Redox-Kind: fhir\r\nRedox-Path: /Patient\r\n", "{}")
	f.Add("redox.out.clinic-a.send."+goldenToken, "m:r3", "Redox-Replay-Of: m\r\nRedox-Replay-Count: 3\r\nNats-Rollup: all\r\n", "")
	f.Add("redox.out.a.request", "", "Redox-Deadline: 2020-01-01T00:00:00Z\r\nRedox-Order-Position: 9\r\n", "x")
	f.Fuzz(func(t *testing.T, subject, id, headers, body string) {
		h, err := nats.DecodeHeadersMsg([]byte("NATS/1.0\r\n" + headers + "\r\n"))
		if err != nil || id == "" { // no dead letter is without
			return
		}
		d := Letter{MessageID: id, Subject: subject, Sequence: 9, Header: h, Body: []byte(body)}
		base, _ := d.replayBase()
		next, n := d.ReplayID()
		r, err := d.replay("", next, n, buriedAt)
		if err != nil {
			return
		}
		for name := range r.msg.Header {
			if wire.HasPrefixFold(name, "nats-") && name != contract.HeaderID || wire.HasPrefixFold(name, "redox-dead-") {
				t.Fatalf("header %q passes", name)
			}
		}
		source, lane, _, err := contract.Prefix("").ParseOut(subject)
		m, decodeErr := outbox.Decode("", outbox.Stored{Subject: subject, Header: r.msg.Header, Body: r.msg.Data, Sequence: 100})
		if err != nil || decodeErr != nil || m.Source != source || m.Lane != lane || m.ReplayOf != base || m.ReplayCount != n || m.Position > 9 {
			t.Fatalf("%+v, %v, %v", m, err, decodeErr)
		}
		if !m.Deadline.IsZero() && !m.Deadline.After(buriedAt) {
			t.Fatal("a deadline that has passed is sent")
		}
	})
}

// A dead letter keeps all HTTP headers that a message may have, and its replay has them again.
func TestReplay_KeepsHTTPHeaders(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 32} {
		d := letter("id", 1)
		for i := range n {
			name := fmt.Sprintf("X-H%c%c", 'A'+i/26, 'a'+i%26)
			d.Header[contract.RequestHeaderPrefix+name] = []string{strings.Repeat("v", min(2048, 8192/n-len(name)))}
		}
		msg := d.Encode("")
		back, err := Decode("", outbox.Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data})
		if err != nil {
			t.Fatal(err)
		}
		id, count := back.ReplayID()
		r, err := back.replay("", id, count, buriedAt)
		if err != nil {
			t.Fatal(err)
		}
		m, err := outbox.Decode("", outbox.Stored{Subject: r.msg.Subject, Header: r.msg.Header, Body: r.msg.Data, Sequence: 9})
		if err != nil || len(m.Header) != n {
			t.Errorf("%d of %d headers, %v", len(m.Header), n, err)
		}
	}
}
