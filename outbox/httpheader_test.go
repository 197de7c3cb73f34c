package outbox

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// stored encodes a message and decodes it as the queue stores it.
func stored(t *testing.T, m Message) (Message, error) {
	t.Helper()
	msg, err := m.Encode("")
	if err != nil {
		return Message{}, err
	}
	return Decode("", Stored{Subject: msg.Subject, Header: msg.Header, Body: msg.Data, Sequence: 1})
}

// full are so many headers of names and values that are so long together.
func full(headers, size int) http.Header {
	h := make(http.Header, headers)
	for i := range headers {
		name := fmt.Sprintf("X-H%c%c", 'a'+i/26, 'a'+i%26)
		h.Set(name, strings.Repeat("v", size/headers-len(name)))
	}
	return h
}

// One header and as many as there may be arrive as they were given.
func TestMessage_HeadersArriveAsGiven(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.Header{
		"one":   {"Prefer": {"return=minimal"}},
		"many":  {"If-None-Exist": {"identifier=http://x|1&active=true"}, "X-User-Id": {"Ada Example"}, "If-Match": {`W/"3"`}},
		"bound": full(maxHTTPHeaders, maxHTTPBytes),
		"long":  {"Prefer": {strings.Repeat("v", wire.MaxHTTPValue)}, strings.Repeat("X", 1) + strings.Repeat("n", maxHTTPName-1): {"~ ~"}},
	} {
		m, err := stored(t, Message{ID: "1", Source: "clinic-a", Header: h, Body: []byte("{}")})
		if err != nil || !maps.EqualFunc(m.Header, h, slices.Equal) {
			t.Errorf("%s: %d headers of %d, %v", name, len(m.Header), len(h), err)
		}
	}
	m, err := stored(t, Message{ID: "1", Source: "clinic-a", Header: http.Header{"x-user-id": {"u"}, "X-None": nil}})
	if err != nil || m.Header.Get("X-User-Id") != "u" || len(m.Header) != 1 {
		t.Errorf("%v, %v", m.Header, err)
	}
	if m, err := stored(t, Message{ID: "1", Source: "clinic-a"}); err != nil || m.Header != nil {
		t.Errorf("without: %v, %v", m.Header, err)
	}
}

// What a message must not set, or must not hold, is refused by the publisher, and as poison
// where a client wrote it by itself. The error names the header and never a value.
func TestMessage_HeadersRefused(t *testing.T) {
	t.Parallel()
	tooMany, tooLong := full(maxHTTPHeaders+1, maxHTTPBytes), full(maxHTTPHeaders, maxHTTPBytes)
	tooLong.Set("X-Haa", tooLong.Get("X-Haa")+"v")
	const secret = "SECRET"
	for want, h := range map[string]http.Header{
		"is there more than 32 times":               tooMany,
		"are longer than 8192 bytes together":       tooLong,
		"Prefer is longer than 2048 bytes":          {"Prefer": {strings.Repeat("v", wire.MaxHTTPValue+1)}},
		"Prefer is empty":                           {"Prefer": {""}},
		"Prefer is given more than once":            {"Prefer": {secret, secret}},
		"prefer is given more than once":            {"Prefer": {secret}, "prefer": {secret}},
		"Prefer begins or ends with a space":        {"Prefer": {secret + " "}},
		"If-Match holds a character":                {"If-Match": {secret + "\r\nHost: x"}},
		"If-None-Match holds a character":           {"If-None-Match": {secret + "\n"}},
		"X-User-Id holds a character":               {"X-User-Id": {secret + " Zoë"}},
		"If-None-Exist holds a character":           {"If-None-Exist": {secret + "\x00"}},
		"Redox-Header-… is no name of 1 to 64":      {"X " + secret: {secret}},
		"Redox-Header-… is no name of 1 to 64 lett": {strings.Repeat("n", maxHTTPName+1): {secret}},
		"Redox-Header-… is empty":                   {"X-4711": {""}}, // the name may be a patient's number
	} {
		_, err := stored(t, Message{ID: "1", Source: "clinic-a", Header: h})
		plain := make(nats.Header)
		for name, values := range h {
			plain[contract.RequestHeaderPrefix+name] = values
		}
		_, poison := Decode("", Stored{Subject: "redox.out.clinic-a.send", Header: plain, Sequence: 1})
		for way, err := range map[string]error{"publisher": err, "plain client": poison} {
			var refused *ContractError
			if !errors.As(err, &refused) || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) || strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v, want %q", way, err, want)
			}
		}
	}
	never := []string{"Authorization", "authorization", "Host", "Content-Length", "Transfer-Encoding", "TE", "Trailer", "Connection", "Keep-Alive", "Upgrade",
		"Proxy-Authorization", "Proxy-Connection", "Redox-Source-Id", "redox-source-id", "Redox-Trace-Id", "Cookie", "User-Agent", "Accept-Encoding", "Content-Encoding", "Expect",
		"X-HTTP-Method-Override", "Content-Type", "Accept", "traceparent", "Tracestate", "Sec-Fetch-Mode", "Range", "HTTP2-Settings",
		"X-Original-URL", "x-rewrite-url", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Prefix", "Forwarded", "X-Original-Method", "X-Real-IP", "X-Host"}
	for _, name := range never {
		if _, err := stored(t, Message{ID: "1", Source: "clinic-a", Header: http.Header{name: {secret}}}); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
		if err := (HeaderPolicy{Allow: []string{"*"}}).Check(http.Header{name: {secret}}); err == nil {
			t.Errorf("%s is let through by *", name)
		}
		if err := (HeaderPolicy{Allow: []string{name}}).Validate(); err == nil {
			t.Errorf("%s may be allowed", name)
		}
	}
}

func TestHeaderPolicy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		allow []string
		name  string
		taken bool
	}{
		{nil, "Prefer", true}, {nil, "if-none-exist", true}, {nil, "X-Sender-Organization-Id", true}, {nil, "x-user-id", true}, {nil, "X-Other", false},
		{[]string{}, "Prefer", false}, {[]string{"x-*"}, "X-Purpose-Of-Use", true}, {[]string{"x-*"}, "Prefer", false}, {[]string{"*-id"}, "X-User-Id", true},
		{[]string{"*"}, "Anything", true}, {[]string{"prefer"}, "Prefer", true},
	} {
		err := HeaderPolicy{Allow: tc.allow}.Check(http.Header{tc.name: {"SECRET"}})
		if (err == nil) != tc.taken || err != nil && (strings.Contains(err.Error(), "SECRET") || !strings.Contains(err.Error(), tc.name)) {
			t.Errorf("%q, %s: %v", tc.allow, tc.name, err)
		}
	}
	for _, bad := range []string{"", "a b", "x:", "[a-z]", strings.Repeat("x", 65), "Zoë", "proxy-*", "X-Forwarded-*", "Redox-S*"} {
		if err := (HeaderPolicy{Allow: []string{bad}}).Validate(); err == nil {
			t.Errorf("%q may be allowed", bad)
		}
	}
	if err := (HeaderPolicy{Allow: []string{"*", "If-*", "x-user-id"}}).Validate(); err != nil {
		t.Error(err)
	}
}

// A reply tells the headers of the answer that say more than its body, and no others.
func TestReply_HeadersOfTheAnswer(t *testing.T) {
	t.Parallel()
	answer := http.Header{}
	for name, value := range map[string]string{"Location": "https://fhir.example/Patient/1/_history/2", "Content-Location": "https://api.example/export/7", "ETag": `W/"2"`,
		"Last-Modified": "Mon, 30 Nov 2026 04:00:00 GMT", "Retry-After": "120.5", "Expires": "Mon, 30 Nov 2026 05:00:00 GMT", "X-Progress": "70 % of Patient", "Set-Cookie": "SECRET", "Content-Type": "x/y"} {
		answer.Set(name, value)
	}
	r := Reply{MessageID: "1", Settlement: Delivered, Status: 201, Header: answer}
	msg := r.Encode("redox.reply.clinic-a.1")
	for _, name := range contract.AnswerHeaders() {
		if got := msg.Header[contract.AnswerHeaderPrefix+name]; len(got) != 1 || got[0] != answer.Get(name) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if len(msg.Header) != 4+len(contract.AnswerHeaders()) {
		t.Errorf("headers %v", msg.Header)
	}
	back, err := DecodeReply(msg)
	if err != nil || len(back.Header) != len(contract.AnswerHeaders()) || back.Header.Get("ETag") != `W/"2"` || back.Header.Get("Location") != answer.Get("Location") {
		t.Errorf("%v, %v", back.Header, err)
	}
	bad := http.Header{"Location": {"a\r\nb"}, "Etag": {strings.Repeat("e", wire.MaxHTTPValue+1)}, "Retry-After": {""}, "Last-Modified": {"Zoë"}, "Content-Location": nil}
	if h := (Reply{MessageID: "1", Settlement: Delivered, Header: bad}).Encode("x").Header; len(h) != 3 {
		t.Errorf("headers %v", h)
	}
	if back, err := DecodeReply((Reply{MessageID: "1", Settlement: Delivered}).Encode("x")); err != nil || back.Header != nil {
		t.Errorf("%v, %v", back.Header, err)
	}
	for _, text := range []string{fmt.Sprintf("%+v", r), fmt.Sprintf("%#v", Message{Header: http.Header{"Prefer": {"SECRET"}}}), fmt.Sprintf("%v", Answer{Header: answer})} {
		if strings.Contains(text, "SECRET") || strings.Contains(text, "Patient") {
			t.Errorf("it prints %s", text)
		}
	}
}
