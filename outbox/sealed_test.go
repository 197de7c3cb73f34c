package outbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
	"github.com/redoxworker/redoxworker/outbox/seal"
)

func newRing() (*seal.Ring, seal.Keys) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	ks, _ := seal.Keys{}.With(now, now)
	return seal.NewRing(ks), ks
}

// asStored is a message as it comes out of the queue.
func asStored(t *testing.T, m Message) Stored {
	t.Helper()
	msg, err := m.Encode("")
	if err != nil {
		t.Fatal(err)
	}
	return Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: 7}
}

var sealedMessage = Message{ID: "visit-1", Source: "clinic-a", Kind: KindFHIR, Path: "slug/Production/Patient?name=Canary", Header: http.Header{"If-None-Exist": {"identifier=Canary"}},
	ContentType: "application/fhir+json", Accept: "x/Canary", ReplyTo: "redox.reply.clinic-a.visit-1", Body: []byte(`{"name":"Canary"}`), Method: "PUT", OrderToken: strings.Repeat("ab", 16)}

// A sealed message has nothing of the patient outside, is a message of the contract without being opened, and
// is what it was when it is; so is its replay.
func TestSealed_Message(t *testing.T) {
	t.Parallel()
	ring, _ := newRing()
	m, err := sealedMessage.Seal(ring, "")
	if err != nil {
		t.Fatal(err)
	}
	in := asStored(t, m)
	if all := in.Subject + string(in.Body) + headerText(in.Header); strings.Contains(all, "Canary") || strings.Contains(all, base64.RawURLEncoding.EncodeToString([]byte("Canary"))) {
		t.Errorf("in the clear: %s", all)
	}
	for _, replay := range []bool{false, true} {
		if replay {
			in.Header[contract.HeaderMessageID], in.Header[contract.HeaderReplayOf], in.Header[contract.HeaderReplayCount] = []string{"visit-1:r1"}, []string{"visit-1"}, []string{"1"}
		}
		got, err := Decode("", in)
		if err != nil || !got.Sealed() {
			t.Fatalf("%v, %v", got, err)
		}
		opened, opening, err := got.Open(ring, "")
		if err != nil || opened.Sealed() || !opening.Sealed() {
			t.Fatal(err)
		}
		want := sealedMessage
		want.ID, want.ReplayOf, want.ReplayCount = got.ID, got.ReplayOf, got.ReplayCount
		want.Lane, want.Subject, want.Sequence, want.Position, want.Behind = contract.LaneOrdered, in.Subject, 7, got.Position, got.Behind
		if diff := cmp.Diff(fields(want), fields(opened)); diff != "" {
			t.Error(diff)
		}
	}
}

// fields are what of a message is compared: a Message prints nothing of a patient.
func fields(m Message) []any {
	return []any{m.ID, m.Source, m.Lane, m.Kind, m.Method, m.Path, m.ContentType, m.Accept, m.Header, m.ReplyTo, m.OrderToken, m.ReplayOf, m.ReplayCount, m.Body, m.Subject, m.Sequence, m.Envelope, m.SealedHeaders}
}

func headerText(h nats.Header) string {
	text, _ := json.Marshal(h) // texts
	return string(text)
}

// Whatever of a message is put to another, or changed, it does not open; what has a header of the sealed ones in
// the clear is no message.
func TestSealed_BelongsToItsMessage(t *testing.T) {
	t.Parallel()
	ring, _ := newRing()
	m, err := sealedMessage.Seal(ring, "")
	if err != nil {
		t.Fatal(err)
	}
	other := sealedMessage
	other.ID, other.Body = "visit-2", []byte(`{"name":"Another"}`)
	if other, err = other.Seal(ring, ""); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Stored){
		"body":           func(s *Stored) { s.Body = asStored(t, other).Body },
		"no body":        func(s *Stored) { s.Body = nil },
		"headers":        func(s *Stored) { s.Header[contract.HeaderSealed] = []string{other.SealedHeaders} },
		"envelope":       func(s *Stored) { s.Header[contract.HeaderSeal] = []string{other.Envelope} },
		"id":             func(s *Stored) { s.Header[contract.HeaderMessageID] = []string{"visit-2"} },
		"replay of":      func(s *Stored) { s.Header[contract.HeaderReplayOf] = []string{"visit-2"} },
		"source":         func(s *Stored) { s.Subject = strings.Replace(s.Subject, "clinic-a", "clinic-b", 1) },
		"order":          func(s *Stored) { s.Subject = contract.Prefix("").SendSubject("clinic-a") },
		"another order":  func(s *Stored) { s.Subject = contract.Prefix("").OrderedSubject("clinic-a", strings.Repeat("cd", 16)) },
		"lane":           func(s *Stored) { s.Subject = contract.Prefix("").RequestSubject("clinic-a") },
		"kind":           func(s *Stored) { s.Header[contract.HeaderKind] = []string{"platform"} },
		"reply":          func(s *Stored) { s.Header[contract.HeaderReplyTo] = []string{"redox.reply.clinic-a.visit-2"} },
		"claim, no body": func(s *Stored) { s.Header[contract.HeaderBodyObject], s.Body = []string{"clinic-a/x"}, nil },
	} {
		in := asStored(t, m)
		change(&in)
		got, err := Decode("", in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		opened, opening, err := got.Open(ring, "")
		if name == "claim, no body" {
			if _, err = opening.Open(nil); err == nil {
				t.Errorf("%s: opens", name)
			}
			continue
		}
		if !errors.Is(err, seal.ErrAltered) || len(opened.Path) > 0 {
			t.Errorf("%s: %v", name, err)
		}
		if text := err.Error(); strings.Contains(text, "Canary") {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, header := range []string{contract.HeaderPath, contract.HeaderMethod, contract.HeaderContentType, contract.HeaderAccept, contract.RequestHeaderPrefix + "Prefer"} {
		in := asStored(t, m)
		in.Header[header] = []string{"GET"}
		if _, err := Decode("", in); !errors.As(err, new(*ContractError)) {
			t.Errorf("%s in the clear beside a seal: %v", header, err)
		}
	}
	in := asStored(t, m)
	delete(in.Header, contract.HeaderMessageID)
	if _, err := Decode("", in); !errors.As(err, new(*ContractError)) {
		t.Errorf("without an id of its own: %v", err)
	}
}

// A reply opens for whoever asks with the ring, beside its own settlement alone.
func TestSealed_Reply(t *testing.T) {
	t.Parallel()
	ring, _ := newRing()
	r := Reply{MessageID: "visit-1", Settlement: Delivered, Status: 201, Attempts: 1, ContentType: "x/Canary", Header: http.Header{"Location": {"Patient/Canary"}}, Body: []byte("Canary")}
	sealed := func() *nats.Msg {
		msg := r.Encode("redox.reply.clinic-a.visit-1")
		key, err := SealReply(ring, "", "clinic-a", msg)
		if err != nil {
			t.Fatal(err)
		}
		msg.Data = key.Seal(msg.Data)
		return msg
	}
	msg := sealed()
	if all := string(msg.Data) + headerText(msg.Header); strings.Contains(all, "Canary") {
		t.Errorf("in the clear: %s", all)
	}
	got, err := DecodeReply(msg)
	if err != nil {
		t.Fatal(err)
	}
	opened, _, err := got.Open(ring, "", "clinic-a")
	if err != nil || string(opened.Body) != "Canary" || opened.ContentType != r.ContentType || opened.Header.Get("Location") != "Patient/Canary" || opened.Status != 201 || opened.Sealed() {
		t.Errorf("%v, %v", opened, err)
	}
	for _, c := range []struct{ name, value string }{{contract.HeaderSettlement, "rejected"}, {contract.HeaderStatus, "200"}, {contract.HeaderMessageID, "visit-2"}, {contract.HeaderReplayOf, "visit-0"}} {
		msg := sealed()
		msg.Header[c.name] = []string{c.value}
		got, err := DecodeReply(msg)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := got.Open(ring, "", "clinic-a"); !errors.Is(err, seal.ErrAltered) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, _, err := got.Open(ring, "", "clinic-b"); !errors.Is(err, seal.ErrAltered) {
		t.Errorf("of another source: %v", err)
	}
}

// sealVectors is testdata/seal.json, by which a client in any language checks what it opens.
type sealVectors struct {
	About string          `json:"about"`
	Ring  json.RawMessage `json:"ring"`
	// Messages are as they are stored.
	Messages []sealVector `json:"messages"`
	Replies  []sealVector `json:"replies"`
	// Parts are bodies of one byte, repeated, and what is sealed of them, encrypted with the data key 00…00.
	Parts []partVector `json:"parts"`
}

type sealVector struct {
	Subject string            `json:"subject,omitempty"`
	Source  string            `json:"source,omitempty"`
	Lines   []string          `json:"lines"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body_base64"`
	Opened  struct {
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	} `json:"opened"`
}

type partVector struct {
	Byte   string `json:"byte"`
	Count  int    `json:"count"`
	SHA256 string `json:"sealed_sha256"`
}

var writeVectors = flag.Bool("seal.vectors", false, "write testdata/seal.json anew")

func flat(h nats.Header) map[string]string {
	out := map[string]string{}
	for name := range h {
		out[name] = h.Get(name)
	}
	return out
}

func makeVectors(t *testing.T) (v sealVectors) {
	ring, ks := newRing()
	v.About = "Each message and reply opens with the ring: lines are the associated data behind redox-seal/1 and the key id, as in CONTRACT.md."
	v.Ring = ks.Encode()
	replay := sealedMessage
	for i, m := range []Message{sealedMessage, {ID: "visit-2", Source: "clinic-b", Body: []byte(`{"Meta":{}}`)},
		{ID: "query-1", Source: "clinic-a", Lane: contract.LaneRequest, Kind: KindFHIR, Path: "slug/Production/Patient?name=Zo%C3%AB"}, replay} {
		s, err := m.Seal(ring, "")
		if err != nil {
			t.Fatal(err)
		}
		if i == 3 { // as a replay of it is stored
			s.ID, s.ReplayOf, s.ReplayCount = "visit-1:r1", "visit-1", 1
		}
		in := asStored(t, s)
		one := sealVector{Subject: in.Subject, Lines: m.sealLines("", m.ID), Headers: flat(in.Header), Body: base64.StdEncoding.EncodeToString(in.Body)}
		one.Opened.Headers, one.Opened.Body = map[string]string{}, string(m.Body)
		for name, value := range map[string]string{contract.HeaderMethod: m.Method, contract.HeaderPath: m.Path, contract.HeaderContentType: m.ContentType, contract.HeaderAccept: m.Accept, contract.RequestHeaderPrefix + "If-None-Exist": m.Header.Get("If-None-Exist")} {
			if value != "" {
				one.Opened.Headers[name] = value
			}
		}
		v.Messages = append(v.Messages, one)
	}
	r := Reply{MessageID: "visit-1", Settlement: Delivered, Status: 201, Attempts: 1, ContentType: "application/json", Header: http.Header{"Location": {"Patient/1"}}, Body: []byte(`{"ok":true}`)}
	msg := r.Encode("redox.reply.clinic-a.visit-1")
	one := sealVector{Subject: msg.Subject, Source: "clinic-a", Lines: replyLines("", "clinic-a", msg.Header)}
	one.Opened.Headers, one.Opened.Body = map[string]string{contract.HeaderContentType: r.ContentType, contract.AnswerHeaderPrefix + "Location": "Patient/1"}, string(r.Body)
	key, err := SealReply(ring, "", "clinic-a", msg)
	if err != nil {
		t.Fatal(err)
	}
	one.Headers, one.Body = flat(msg.Header), base64.StdEncoding.EncodeToString(key.Seal(msg.Data))
	v.Replies = []sealVector{one}
	for _, n := range []int{1, 65536, 65537, 200000} {
		sum := sha256.Sum256(seal.DataKeyOf([32]byte{}).Seal([]byte(strings.Repeat("a", n))))
		v.Parts = append(v.Parts, partVector{"a", n, hex.EncodeToString(sum[:])})
	}
	return v
}

// The longest headers that a message may have are sealed to what a stream takes, whatever is in them.
func TestSealed_LongestHeaders(t *testing.T) {
	t.Parallel()
	ring, _ := newRing()
	for _, letter := range []string{"&", "<", `"`, "\\"} {
		m := Message{ID: "long", Source: "clinic-a", Kind: KindFHIR, Path: "slug/Production/Patient?" + strings.Repeat("&", wire.MaxPath-24), Header: http.Header{}}
		for n := range 4 {
			m.Header[fmt.Sprintf("If-Longest-%d", n)] = []string{strings.Repeat(letter, maxHTTPBytes/4-20)}
		}
		s, err := m.Seal(ring, "")
		if err != nil {
			t.Fatal(err)
		}
		in := asStored(t, s)
		if size := len(s.SealedHeaders); size > 60<<10 {
			t.Errorf("of %s: %d bytes", letter, size)
		}
		d, err := Decode("", in)
		if err != nil {
			t.Fatal(err)
		}
		if opened, _, err := d.Open(ring, ""); err != nil || opened.Path != m.Path {
			t.Errorf("of %s: %v", letter, err)
		}
	}
}

// What is in the vectors opens, and to what they say.
func TestSealed_Vectors(t *testing.T) {
	t.Parallel()
	const name = "testdata/seal.json"
	if *writeVectors {
		text, err := json.MarshalIndent(makeVectors(t), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var v sealVectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	ks, err := seal.Parse(v.Ring)
	if err != nil {
		t.Fatal(err)
	}
	ring := seal.NewRing(ks)
	for i, one := range v.Messages {
		h := nats.Header{}
		for name, value := range one.Headers {
			h[name] = []string{value}
		}
		body, _ := base64.StdEncoding.DecodeString(one.Body) // an error shows below
		m, err := Decode("", Stored{Subject: one.Subject, Header: h, Body: body})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(one.Lines, m.sealLines("", m.sealIDs()[0])); diff != "" {
			t.Errorf("message %d: %s", i, diff)
		}
		opened, _, err := m.Open(ring, "")
		if err != nil || string(opened.Body) != one.Opened.Body || opened.Path != one.Opened.Headers[contract.HeaderPath] {
			t.Errorf("message %d: %v, %v", i, opened, err)
		}
	}
	for i, one := range v.Replies {
		msg := nats.NewMsg(one.Subject)
		for name, value := range one.Headers {
			msg.Header[name] = []string{value}
		}
		msg.Data, _ = base64.StdEncoding.DecodeString(one.Body) // as above
		r, err := DecodeReply(msg)
		if err != nil {
			t.Fatal(err)
		}
		if r, _, err = r.Open(ring, "", one.Source); err != nil || string(r.Body) != one.Opened.Body || r.ContentType != one.Opened.Headers[contract.HeaderContentType] {
			t.Errorf("reply %d: %v, %v", i, r, err)
		}
	}
	for _, p := range v.Parts {
		if sum := sha256.Sum256(seal.DataKeyOf([32]byte{}).Seal([]byte(strings.Repeat(p.Byte, p.Count)))); hex.EncodeToString(sum[:]) != p.SHA256 {
			t.Errorf("%d bytes: %x", p.Count, sum)
		}
	}
}
