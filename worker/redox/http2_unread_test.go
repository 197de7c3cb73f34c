package redox

import (
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// How a request over HTTP/2 can end without an answer.
var http2Ends = map[string]struct {
	end    func(f *http2.Framer, stream uint32)
	unread bool // the other side says that it has not looked at the request
}{
	"PROTOCOL_ERROR":      {resetWith(http2.ErrCodeProtocol), false},
	"INTERNAL_ERROR":      {resetWith(http2.ErrCodeInternal), false},
	"CANCEL":              {resetWith(http2.ErrCodeCancel), false},
	"NO_ERROR":            {resetWith(http2.ErrCodeNo), false},
	"ENHANCE_YOUR_CALM":   {resetWith(http2.ErrCodeEnhanceYourCalm), false},
	"HTTP_1_1_REQUIRED":   {resetWith(http2.ErrCodeHTTP11Required), false},
	"hung up":             {func(f *http2.Framer, _ uint32) { hangUp(f) }, false},
	"GOAWAY and hung up":  {func(f *http2.Framer, stream uint32) { goAway(f, stream, http2.ErrCodeNo); hangUp(f) }, false},
	"GOAWAY of an error":  {func(f *http2.Framer, stream uint32) { goAway(f, stream, http2.ErrCodeInternal); hangUp(f) }, false},
	"REFUSED_STREAM":      {resetWith(http2.ErrCodeRefusedStream), true},
	"GOAWAY below":        {func(f *http2.Framer, _ uint32) { goAway(f, 0, http2.ErrCodeNo) }, true},
	"GOAWAY below, error": {func(f *http2.Framer, _ uint32) { goAway(f, 0, http2.ErrCodeEnhanceYourCalm) }, true},
	"GOAWAY below, gone":  {func(f *http2.Framer, _ uint32) { goAway(f, 0, http2.ErrCodeNo); hangUp(f) }, true},
}

func resetWith(code http2.ErrCode) func(*http2.Framer, uint32) {
	return func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, code) }
}

func goAway(f *http2.Framer, last uint32, code http2.ErrCode) { _ = f.WriteGoAway(last, code, nil) }

// hangUp ends the connection that a test's server reads from.
func hangUp(f *http2.Framer) {
	f.SetMaxReadFrameSize(0) // what comes next is an error
	_ = f.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 8))
}

// bodies are messages with a body and without.
var bodies = map[string]outbox.Message{
	"send":    message(contract.LaneSend, event),
	"large":   message(contract.LaneSend, sized(200_000)),
	"request": fhir(contract.LaneRequest, "GET", "slug/Development/Patient/p-1", ""),
}

// What was not looked at goes out again, and nobody else's does.
func TestWritten_HTTP2SaysWhatWasRead(t *testing.T) {
	t.Parallel()
	for name, tc := range http2Ends {
		for kind, m := range bodies {
			for first, before := range map[string]int32{"reused": 1, "new": 0} {
				t.Run(strings.Join([]string{name, kind, first}, " "), func(t *testing.T) {
					t.Parallel()
					var n atomic.Int32
					url, pool, arrived := listen2(t, func(f *http2.Framer, stream uint32) {
						if n.Add(1) == before+1 {
							tc.end(f, stream)
							return
						}
						respond2(f, stream)
					})
					c := client(t, url, &keyring{}, using(transport(t, TransportConfig{RootCAs: pool, HTTP2: HTTP2On})))
					if before == 1 {
						deliver(t, c, message(contract.LaneSend, event))
					}
					_, err := c.Deliver(t.Context(), m)
					want := before + 1
					if tc.unread {
						want++
						if err != nil {
							t.Errorf("%v", err)
						}
					} else if e := failure(t, err); !e.Attempted() || e.UnknownOutcome() != (m.Lane == contract.LaneSend) {
						t.Errorf("%v: attempted %v, unknown %v", e, e.Attempted(), e.UnknownOutcome())
					}
					if got := arrived.Load(); got != want {
						t.Errorf("%d requests arrived, want %d", got, want)
					}
				})
			}
		}
	}
}

// What is refused each time was not sent, and the host pauses.
func TestNotWritten_HTTP2RefusesEachTime(t *testing.T) {
	t.Parallel()
	for name, tc := range http2Ends {
		if !tc.unread {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool, arrived := listen2(t, tc.end)
			c := client(t, url, &keyring{}, using(transport(t, TransportConfig{RootCAs: pool, HTTP2: HTTP2On})))
			_, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
			if e := failure(t, err); e.Attempted() || e.UnknownOutcome() || e.Pauses() != "host:"+strings.TrimPrefix(url, "https://") {
				t.Errorf("%v, pauses %q", e, e.Pauses())
			}
			if got := arrived.Load(); got != 1+maxUnread {
				t.Errorf("%d requests arrived", got)
			}
		})
	}
}
