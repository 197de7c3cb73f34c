package redox

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/answer"
)

const refusedMeta = `"Meta":{"Logs":[{"ID":"` + acceptedLog + `"}],"Errors":[{"Type":"message","Module":"DataModels"}]}`

// behind is an answer of about n bytes whose Meta comes last. Its filler is one long text, or
// many short ones.
func behind(n int, meta, filler string) string {
	if filler == "texts" {
		return `{"Patient":[` + strings.Repeat(`{"Name":"Timothy \"T\" Bixby","MRN":1},`, n/39) + `0],` + meta + `}`
	}
	return `{"Patient":{"Text":"` + strings.Repeat(`Tim\u00f3thy \\ `, n/15) + `"},` + meta + `}`
}

// ways to send one answer.
var ways = map[string]func(w http.ResponseWriter, body string){
	"with a length": func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = io.WriteString(w, body)
	},
	"in chunks": func(w http.ResponseWriter, body string) {
		_, _ = io.WriteString(w, body[:10])
		w.(http.Flusher).Flush()
		_, _ = io.WriteString(w, body[10:])
	},
	"compressed": func(w http.ResponseWriter, body string) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		_, _ = io.WriteString(z, body)
		_ = z.Close()
	},
}

// What an answer to a SEND says counts wherever it stands in it, up to the limit, kept or not.
func TestDeliver_LargeAnswerOfASend(t *testing.T) {
	t.Parallel()
	const limit = 1_000_000
	accepting := accepted[1 : len(accepted)-1]
	for way, write := range ways {
		for _, filler := range []string{"texts", "text"} {
			for name, tc := range map[string]struct {
				body    string
				refused bool
				flag    string
			}{
				"accepted":             {behind(900_000, accepting, filler), false, ""},
				"refused":              {behind(900_000, refusedMeta, filler), true, ""},
				"refused, marked":      {"\xef\xbb\xbf" + behind(900_000, refusedMeta, filler), true, ""},
				"refused, then more":   {"{" + refusedMeta + "," + behind(3_000_000, accepting, filler)[1:], true, ""},
				"refused behind limit": {behind(1_500_000, refusedMeta, filler), false, "over the limit of 1000000 bytes"},
				"no JSON":              {"<html>" + strings.Repeat("x", 500_000), false, "page of HTML"},
				"an issue":             {`{"resourceType":"OperationOutcome","text":"` + strings.Repeat("x", 300_000) + `","issue":[{"severity":"error","code":"invalid"}]}`, true, ""},
			} {
				for _, replyTo := range []string{"", "redox.reply.clinic-a.x"} {
					t.Run(strings.Join([]string{name, filler, way, replyTo}, " "), func(t *testing.T) {
						t.Parallel()
						r := serve(t, func(w http.ResponseWriter, _ arrival) { write(w, tc.body) })
						m := message(contract.LaneSend, event)
						m.ReplyTo = replyTo
						a, err := client(t, r.URL, &keyring{}, lax).Deliver(t.Context(), m)
						if tc.refused != (err != nil) || err != nil && !failure(t, err).Permanent() {
							t.Errorf("err = %v", err)
						}
						if !strings.Contains(a.Flag, tc.flag) || (tc.flag == "") != (a.Flag == "") {
							t.Errorf("flag %q", a.Flag)
						}
						if want := strings.Contains(name, "accepted") || strings.Contains(name, "refused") && tc.flag == ""; want != (len(a.LogIDs) == 1) {
							t.Errorf("log ids %q", a.LogIDs)
						}
						want := ""
						if replyTo != "" {
							want = tc.body[:min(len(tc.body), limit)]
						}
						if string(a.Body) != want {
							t.Errorf("%d bytes are passed on, want %d", len(a.Body), len(want))
						}
					})
				}
			}
		}
	}
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// endless answers with JSON without end, and says nothing of its length, or a lie.
type endless struct{ sent int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "x"[0]
		if e.sent == 0 {
			p[i] = '"'
		}
		e.sent++
	}
	return len(p), nil
}

func (*endless) Close() error { return nil }

func TestDeliver_AnswerOfASendIsNotKept(t *testing.T) { // not parallel: it counts bytes
	for name, length := range map[string]int64{"of unknown length": -1, "of a known length": 900_000, "that lies about its length": 1 << 50} {
		tr := roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: length, Body: &endless{}}, nil
		})
		c := client(t, "https://api.example", fixed("token"), using(tr))
		if got := allocated(func() { _, _ = c.Deliver(t.Context(), message(contract.LaneSend, event)) }); got > 400_000 {
			t.Errorf("%s: %d bytes", name, got)
		}
	}
}

// A small body that claims to be large, or unpacks to no end, takes what it may and no more.
func TestDeliver_AnswerThatTakesNoMoreThanItBrings(t *testing.T) { // not parallel: it counts bytes
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = io.CopyN(z, &endless{}, 20_000_000)
	_ = z.Close()
	for name, tc := range map[string]struct {
		length int64
		body   []byte
		coding string
		most   uint64
	}{
		"a lie":  {40_000_000, []byte(behind(100_000, accepted, "texts")), "", 1_000_000},
		"a bomb": {int64(bomb.Len()), bomb.Bytes(), "gzip", 12_000_000},
	} {
		tr := roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Header: http.Header{"Content-Encoding": {tc.coding}}, ContentLength: tc.length, Body: io.NopCloser(bytes.NewReader(tc.body))}, nil
		})
		var a outbox.Answer
		var asked int64
		c := client(t, "https://api.example", fixed("token"), using(tr), func(c *Config, _ *Source) {
			c.MaxAnswer, c.StrictAnswers = 4_000_000, StrictOff
			c.Room = func(_ context.Context, n int64, _ bool) error { asked += n; return nil }
		})
		got := allocated(func() { a, _ = c.Deliver(t.Context(), message(contract.LaneRequest, event)) })
		if got > tc.most || a.Flag == "" || asked > 4_000_000 {
			t.Errorf("%s: %d bytes, %d asked for, flag %q", name, got, asked, a.Flag)
		}
	}
}

// Before an answer grows its reader asks for room, once for every byte beyond the free ones; a
// REQUEST waits for it, a SEND does without.
func TestDeliver_AsksForRoom(t *testing.T) {
	t.Parallel()
	for way, write := range ways {
		for _, size := range []int{1000, answer.FreeBytes - 100, answer.FreeBytes + 100, 300_000, 3_000_000} {
			body := behind(size, accepted[1:len(accepted)-1], "texts")
			r := serve(t, func(w http.ResponseWriter, _ arrival) { write(w, body) })
			for _, lane := range []contract.Lane{contract.LaneRequest, contract.LaneSend} {
				var mu sync.Mutex
				var asked int64
				c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) {
					c.MaxSendAnswer = -1
					c.Room = func(_ context.Context, n int64, wait bool) error {
						mu.Lock()
						defer mu.Unlock()
						if asked += n; n < 1 || wait != (lane == contract.LaneRequest) {
							t.Errorf("%d, wait %v", n, wait)
						}
						return nil
					}
				})
				m := message(lane, event)
				m.ReplyTo = "redox.reply.clinic-a.x"
				a, err := c.Deliver(t.Context(), m)
				if err != nil || string(a.Body) != body || a.Flag != "" {
					t.Fatalf("%v %q, %d bytes", err, a.Flag, len(a.Body))
				}
				if least := int64(len(body) - answer.FreeBytes); asked < least || asked > max(0, 2*least+2*answer.FreeBytes) {
					t.Errorf("%s %s: room for %d of %d bytes", way, lane, asked, len(body))
				}
			}
		}
	}
}

func TestDeliver_NoRoom(t *testing.T) {
	t.Parallel()
	body := behind(300_000, accepted[1:len(accepted)-1], "texts")
	r := serve(t, respond(200, body))
	full := func(c *Config, _ *Source) {
		c.Room = func(context.Context, int64, bool) error { return errors.New("full") }
	}
	m := message(contract.LaneSend, event)
	if a, err := client(t, r.URL, &keyring{}, full).Deliver(t.Context(), m); err != nil || a.Flag != "" || len(a.LogIDs) != 1 {
		t.Errorf("a SEND that nobody waits for: %v %q", err, a.Flag)
	}
	m.ReplyTo = "redox.reply.clinic-a.x"
	a, err := client(t, r.URL, &keyring{}, full).Deliver(t.Context(), m)
	if err != nil || !strings.Contains(a.Flag, "too large for the memory that is free") || len(a.LogIDs) != 1 || len(a.Body) != 0 {
		t.Errorf("a SEND with a reply: %v %q, %d bytes", err, a.Flag, len(a.Body))
	}
	_, err = client(t, r.URL, &keyring{}, full).Deliver(t.Context(), message(contract.LaneRequest, event))
	if e := failure(t, err); !e.Attempted() || e.UnknownOutcome() || e.Permanent() || !strings.Contains(e.SafeError(), "raise bodies.memory") {
		t.Errorf("a REQUEST: %+v", e)
	}
}
