package redox

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestOffload_FailedUploads(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	m := message(contract.LaneSend, model("Media", `"Media":{"FileContents":"`+text+`"}`))
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, arrival)
		class  Class
		status int
		pauses string
		waits  bool // no attempt counts
	}{
		"forbidden":   {respond(403, "Forbidden Timothy"), ClassRefused, 403, "", false},
		"too large":   {respond(413, ""), ClassRefused, 413, "", false},
		"errors":      {respond(200, `{"Errors":[{"Type":"message"}]}`), ClassRefused, 200, "", false},
		"throttled":   {respond(429, "", "Retry-After", "7"), ClassThrottled, 429, "group:default", false},
		"unavailable": {respond(500, ""), ClassUnavailable, 500, "", false},
		"gateway":     {respond(504, ""), ClassNoAnswer, 504, "", false},
		"key":         {respond(401, "Invalid request"), ClassUnauthorized, 401, "key:main", true},
		"no URI":      {respond(201, `{}`), ClassUnavailable, 201, "", false},
		"reset":       {func(http.ResponseWriter, arrival) { panic(http.ErrAbortHandler) }, ClassNoAnswer, 0, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
				m := m
				m.Lane = lane
				r := serve(t, tc.answer)
				_, err := client(t, r.URL, &keyring{}, offloading(&notes{})).Deliver(t.Context(), m)
				e := failure(t, err)
				if e.Class() != tc.class || e.Status() != tc.status || e.Pauses() != tc.pauses || e.Attempted() == tc.waits {
					t.Errorf("%s: %+v", lane, e)
				}
				if e.UnknownOutcome() || e.DoubtfulOutcome() || e.Poison() || !strings.Contains(e.SafeError(), "uploading a file of the message: ") || strings.Contains(e.Error(), "Timothy") {
					t.Errorf("%s: %+v %v", lane, e, e)
				}
				for _, a := range r.seen() {
					if a.path != "/upload" {
						t.Errorf("%s was sent to", a.path)
					}
				}
			}
		})
	}
}

func TestOffload_BlobHostIsNamed(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL, &keyring{}, offloading(&notes{}), toBlob("http://127.0.0.1:2"))
	_, err := c.Deliver(t.Context(), message(contract.LaneSend, model("Media", `"Media":{"FileContents":"`+text+`"}`)))
	if e := failure(t, err); e.Attempted() || e.Pauses() != "host:127.0.0.1:2" || len(r.seen()) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestOffload_StoreThatFails(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	m := message(contract.LaneSend, model("Media", `"Media":{"FileContents":"`+text+`"}`))
	uploads := 0
	r := serve(t, blobs(&uploads, respond(200, accepted)))
	lost := errors.New("no answer from NATS")
	_, err := client(t, r.URL, &keyring{}, offloading(&notes{lookError: lost})).Deliver(t.Context(), m)
	if e := failure(t, err); e.Attempted() || e.Permanent() || e.Pauses() != "" || !errors.Is(err, lost) || len(r.seen()) != 0 {
		t.Errorf("not looked up: %+v", e)
	}
	if _, err := client(t, r.URL, &keyring{}, offloading(&notes{keepError: lost})).Deliver(t.Context(), m); err != nil || uploads != 1 {
		t.Errorf("not noted: %v, %d uploads", err, uploads)
	}
	if _, err := client(t, r.URL, &keyring{}, offloading(nil)).Deliver(t.Context(), m); err != nil || uploads != 2 {
		t.Errorf("no store: %v, %d uploads", err, uploads)
	}
}
