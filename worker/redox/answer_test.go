package redox

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestDeliver_AnswerOverTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 2000
	long := func(n int) string { return accepted[:len(accepted)-1] + strings.Repeat(" ", n-len(accepted)) + "}" }
	for name, tc := range map[string]struct {
		body   string
		flag   string
		reused bool
	}{
		"at the limit":       {long(limit), "", true},
		"a little over":      {long(limit + 1), "over the limit of 2000 bytes", true},
		"over, still read":   {long(limit + 50_000), "over the limit of 2000 bytes", true},
		"far over, given up": {long(limit + 10_000_000), "over the limit of 2000 bytes", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, respond(200, tc.body))
			c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) { c.MaxAnswer = limit })
			for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
				a, err := c.Deliver(t.Context(), message(lane, event))
				if err != nil || !strings.Contains(a.Flag, tc.flag) || (tc.flag == "") != (a.Flag == "") {
					t.Fatalf("%v %q", err, a.Flag)
				}
				if want := tc.body[:min(len(tc.body), limit)]; string(a.Body) != want {
					t.Errorf("the body has %d bytes", len(a.Body))
				}
				if len(a.LogIDs) != 1 {
					t.Error("the log id before the cut is lost")
				}
			}
			if seen := r.seen(); (seen[0].remote == seen[1].remote) != tc.reused {
				t.Errorf("reused: %v", !tc.reused)
			}
		})
	}
}

func TestDeliver_TruncatedAnswer(t *testing.T) {
	t.Parallel()
	cut := func(status int) func(http.ResponseWriter, arrival) {
		return func(w http.ResponseWriter, _ arrival) {
			w.Header().Set("Content-Length", strconv.Itoa(len(accepted)+1))
			w.WriteHeader(status)
			_, _ = io.WriteString(w, accepted)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	r := serve(t, cut(200))
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		a, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), message(lane, event))
		if err != nil || a.Flag != "the answer ended early" || string(a.Body) != accepted {
			t.Errorf("%v %+v", err, a)
		}
	}
	r = serve(t, cut(404))
	_, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneSend, event))
	if e := failure(t, err); !e.Permanent() {
		t.Errorf("%+v", e)
	}
}

// A gateway may compress what nobody asked it to (RFC 9110, 12.5.3): an error in it is one all
// the same.
func TestDeliver_CompressedAnswer(t *testing.T) {
	t.Parallel()
	packed := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, text)
		_ = z.Close()
		return b.String()
	}
	refused := `{"Meta":{"Errors":[{"Type":"message","Module":"DataModels"}]}}`
	half := packed(accepted)[:40]
	for name, tc := range map[string]struct {
		coding, body, got, flag string
		refused                 bool
	}{
		"accepted":   {"gzip", packed(accepted), accepted, "", false},
		"refused":    {"GZIP", packed(refused), refused, "", true},
		"identity":   {"identity", accepted, accepted, "", false},
		"too large":  {"x-gzip", packed(accepted + strings.Repeat(" ", 5000)), (accepted + strings.Repeat(" ", 5000))[:4000], "over the limit of 4000 bytes", false},
		"half of it": {"gzip", half, half, "compressed and cannot be read", false},
		"none":       {"gzip", accepted, accepted, "compressed and cannot be read", false},
		"other":      {"br", "abc", "abc", "compressed and cannot be read", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, respond(200, tc.body, "Content-Encoding", tc.coding, "Content-Type", "application/json"))
			c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) { c.MaxAnswer = 4000 })
			a, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
			if tc.refused != (err != nil) || err != nil && !failure(t, err).Permanent() {
				t.Errorf("err = %v", err)
			}
			if string(a.Body) != tc.got || !strings.Contains(a.Flag, tc.flag) || (tc.flag == "") != (a.Flag == "") {
				t.Errorf("flag %q, %d bytes", a.Flag, len(a.Body))
			}
		})
	}
}

func TestDeliver_EveryAnswerIsDrained(t *testing.T) {
	t.Parallel()
	status := 200
	r := serve(t, func(w http.ResponseWriter, a arrival) { respond(status, strings.Repeat("x", 10_000))(w, a) })
	c := client(t, r.URL, &keyring{})
	for _, status = range []int{200, 400, 401, 404, 429, 500, 503, 301} {
		_, _ = c.Deliver(t.Context(), message(contract.LaneSend, event))
	}
	seen := r.seen()
	for _, a := range seen {
		if a.remote != seen[0].remote {
			t.Fatal("a connection was not reused")
		}
	}
}

// A date is one of the clock that made it, however wrong ours is.
func TestDeliver_RetryAfterByTheOtherClock(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Hour} {
		r := serve(t, func(w http.ResponseWriter, _ arrival) {
			now := time.Now().Add(ahead)
			w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
			w.Header().Set("Retry-After", now.Add(30*time.Second).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusTooManyRequests)
		})
		_, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneSend, event))
		if got := failure(t, err).RetryAfter(); got != 30*time.Second {
			t.Errorf("with the other clock %v ahead: %v", ahead, got)
		}
	}
}
