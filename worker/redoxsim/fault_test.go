package redoxsim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseFault_Text(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Fault{
		"":                             {},
		"ok":                           {},
		" 503 ":                        {Status: 503},
		"accept reset":                 {Accept: true, Action: Reset},
		"reset-early":                  {Action: ResetEarly},
		"429 retry-after=3 delay=2s":   {Status: 429, RetryAfter: "3", Delay: 2 * time.Second},
		"huge":                         {Action: Huge},
		"huge=20KB":                    {Action: Huge, Size: 20_000},
		"huge=3MB":                     {Action: Huge, Size: 3_000_000},
		"slow-body=250ms":              {Action: SlowBody, Over: 250 * time.Millisecond},
		"redirect=https://example.com": {Action: Redirect, Location: "https://example.com"},
		"400 errors":                   {Status: 400, Action: Errors},
		"hang":                         {Action: Hang},
		"truncate accept":              {Action: Truncate, Accept: true},
		"403 page":                     {Status: 403, Action: Page},
		"issues":                       {Action: Issues},
		"423 outcome=lock-error":       {Status: 423, Action: Outcome, Code: "lock-error"},
		"response":                     {Action: Response},
	} {
		got, err := ParseFault(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	for _, text := range []string{"99", "100", "600", "nonsense", "delay=", "delay=-1s", "delay=5", "huge=x", "huge=99999999999MB", "slow-body=x"} {
		if f, err := ParseFault(text); err == nil {
			t.Errorf("%q parses as %v", text, f)
		}
	}
}

func TestFault_Statuses(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	for text, want := range map[string]struct {
		status   int
		contains string
		header   string // name=value
	}{
		"500":                {500, "Internal Server Error", "Content-Type=text/html; charset=utf-8"},
		"502":                {502, "Bad Gateway", "Cache-Control=no-store"},
		"503 retry-after=7":  {503, "", "Retry-After=7"},
		"504":                {504, "", ""},
		"429":                {429, "", "X-RateLimit-Limit=7,500"},
		"401":                {401, "Invalid request", "Content-Type=text/html; charset=utf-8"},
		"400":                {400, "Required field missing", "Content-Type=" + jsonType},
		"204":                {204, "", ""},
		"404":                {404, "Not Found", ""},
		"413":                {413, "", ""},
		"redirect":           {307, "", "Location=/endpoint"},
		"302 redirect=/else": {302, "", "Location=/else"},
	} {
		r := g.send(keyed("status "+text, text))
		name, value, _ := strings.Cut(want.header, "=")
		if r.status != want.status || !strings.Contains(r.body, want.contains) || r.header.Get(name) != value {
			t.Errorf("%s: %d %v %s", text, r.status, r.header, r.body)
		}
		a := g.last()
		if a.Accepted || a.Status != want.status || a.Fault == "" || a.Attempt != 1 {
			t.Errorf("%s: recorded %+v", text, a)
		}
	}
}

func TestFault_Script(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	want := []int{503, 401, 200, 200}
	for i, status := range want {
		r := g.send(keyed("m", "503, 401, ok"))
		if r.status != status || g.last().Attempt != i+1 {
			t.Errorf("attempt %d: %d, want %d", i+1, r.status, status)
		}
		// An arrival without a valid token is no attempt and uses nothing up.
		if r := g.do(http.MethodPost, PathEndpoint, keyed("m", "503, 401, ok"), bearer("bad")); r.status != 401 {
			t.Errorf("bad token: %d", r.status)
		}
	}
	if r := g.send(keyed("n", "gibberish")); r.status != 400 || !strings.Contains(r.body, "not a status") {
		t.Errorf("bad script: %d %s", r.status, r.body)
	}
	if st := g.sim.Stats(); st.Accepted != 2 || st.Duplicates != 1 {
		t.Errorf("accepted %d, duplicates %d", st.Accepted, st.Duplicates)
	}
}

func TestFault_Connection(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		accepted bool
		status   int
		err      func(error) bool
	}{
		"reset":           {false, 0, isReset},
		"accept reset":    {true, 0, isReset},
		"reset-early":     {false, 0, isReset},
		"truncate":        {true, 200, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"503 truncate":    {false, 503, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"accept 504":      {true, 504, func(err error) bool { return err == nil }},
		"delay=1ms reset": {false, 0, isReset},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, nil)
			_, err := g.try(http.MethodPost, PathEndpoint, keyed("m", text), bearer(g.sim.NewToken(testClient, 0)))
			if !want.err(err) {
				t.Errorf("error %v", err)
			}
			a := g.last()
			if a.Accepted != want.accepted || a.Status != want.status || a.Finish == 0 || a.BodySHA256 == (Digest{}) {
				t.Errorf("recorded %+v", a)
			}
			if (len(a.LogIDs) > 0) != want.accepted {
				t.Errorf("log ids %v", a.LogIDs)
			}
			if r := g.send(keyed("m", text)); r.status != 200 {
				t.Errorf("the next attempt: %d", r.status)
			}
			if dup := g.sim.Stats().Duplicates; (dup == 1) != want.accepted {
				t.Errorf("%d duplicates", dup)
			}
		})
	}
}

// isReset accepts the two ways in which a cut connection shows, depending on who is faster.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, syscall.EPIPE)
}

func TestFault_ResetBeforeReading(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	g.sim.SetRules(Rule{Path: PathEndpoint, Count: 1, Fault: Fault{Action: ResetEarly}})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// The body never comes: only a reset before reading can end this request.
	if _, err := io.WriteString(conn, "POST "+PathEndpoint+" HTTP/1.1\r\nHost: sim\r\nContent-Length: 100\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); !isReset(err) || len(answer) > 0 {
		t.Fatalf("answered %q, %v", answer, err)
	}
	if a := g.last(); a.Fault != string(ResetEarly) || a.BodySize != 0 || a.Status != 0 {
		t.Errorf("recorded %+v", a)
	}
	if r := g.send(keyed("m", "")); r.status != 200 {
		t.Errorf("the next request: %d", r.status)
	}
}

func TestFault_Bodies(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	huge := g.send(keyed("huge", "huge=2MB"))
	if len(huge.body) != 2_000_000 || !json.Valid([]byte(huge.body)) || !strings.Contains(huge.body, "Logs") {
		t.Errorf("huge: %d bytes", len(huge.body))
	}
	if small := g.send(keyed("small", "huge=1")); !json.Valid([]byte(small.body)) {
		t.Errorf("huge=1: %s", small.body)
	}
	slow := g.send(keyed("slow", "slow-body=20ms"))
	if slow.status != 200 || !json.Valid([]byte(slow.body)) {
		t.Errorf("slow: %d %s", slow.status, slow.body)
	}
	for _, a := range g.sim.Arrivals() {
		if !a.Accepted || a.Status != 200 {
			t.Errorf("%s: accepted %t, status %d", a.Key, a.Accepted, a.Status)
		}
	}
}

func TestFault_ErrorsInAnswers(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	flagged := g.send(keyed("a", "errors"))
	errs := errorsOf(t, flagged)
	if flagged.status != 200 || len(errs) != 1 || errs[0].DestinationStatusCode != 400 || errs[0].Type != "transmission" {
		t.Errorf("errors: %d %s", flagged.status, flagged.body)
	}
	if g.last().Accepted {
		t.Error("a message whose destination failed counts as taken")
	}
	old := g.send(keyed("b", "400 errors"))
	errs = errorsOf(t, old)
	if old.status != 400 || len(errs) != 1 || errs[0].Type != "transmission" || errs[0].Module != "Send" || errs[0].DestinationStatusCode != 0 {
		t.Errorf("400 errors: %d %s", old.status, old.body)
	}
}

func TestFault_OwnBodyAndHeaders(t *testing.T) {
	t.Parallel()
	f := &Fault{Status: 418, Body: `{"errorDetail":"x"}`, Header: http.Header{"x-test": {"1"}}}
	g := newRig(t, &Server{Fault: func(r Request) *Fault {
		if r.Path != PathEndpoint || r.Key != "m" || r.Attempt != 1 || !r.TokenValid || r.DataModel != "PatientAdmin" ||
			r.SourceID != testSource || r.Query || r.Client == "" || r.Seq == 0 || len(r.Body) == 0 {
			t.Errorf("hook saw %+v", r)
		}
		return f
	}})
	r := g.send(keyed("m", "503")) // the hook goes before the script
	if r.status != 418 || r.body != f.Body || r.header.Get("X-Test") != "1" || r.header.Get("Content-Type") != jsonType {
		t.Errorf("%d %v %s", r.status, r.header, r.body)
	}
}

func TestFault_TokenEndpoint(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	g.sim.SetRules(Rule{Path: PathToken, Count: 1, Fault: Fault{Status: 503}}, Rule{Path: PathToken, Fault: Fault{Action: Redirect}})
	if r := g.askToken("x"); r.status != 503 {
		t.Errorf("first: %d", r.status)
	}
	if r := g.askToken("x"); r.status != 307 || r.header.Get("Location") != PathToken {
		t.Errorf("second: %d", r.status)
	}
	g.sim.SetRules()
	g.token()
}

// pipeRig serves sim over net.Pipe, so that a bubble's fake time drives both ends.
func pipeRig(t *testing.T, sim *Server) (*http.Client, func()) {
	t.Helper()
	conns := make(chan net.Conn)
	done := make(chan struct{})
	srv := &http.Server{Handler: sim}
	go func() {
		defer close(done)
		_ = srv.Serve(pipeListener{conns})
	}()
	tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		conns <- server
		return client, nil
	}}
	return &http.Client{Transport: tr}, func() {
		sim.Release()
		tr.CloseIdleConnections()
		_ = srv.Close()
		<-done
	}
}

type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l pipeListener) Close() error   { close(l.conns); return nil }
func (l pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func post(ctx context.Context, hc *http.Client, sim *Server, text string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sim.example"+PathEndpoint, strings.NewReader(text))
	if err != nil {
		return 0, err
	}
	req.Header = bearer(sim.NewToken(testClient, time.Hour))
	resp, err := hc.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.ReadAll(resp.Body)
	return resp.StatusCode, err
}

func TestFault_TimesAreExact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"":                   100 * time.Millisecond, // Server.Latency
		"delay=2s":           2100 * time.Millisecond,
		"503 delay=90s":      90100 * time.Millisecond,
		"slow-body=5s":       5100 * time.Millisecond,
		"slow-body delay=1s": 11100 * time.Millisecond,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := &Server{Latency: 100 * time.Millisecond}
				hc, stop := pipeRig(t, sim)
				defer stop()
				start := time.Now()
				if _, err := post(t.Context(), hc, sim, keyed("m", text)); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took != want {
					t.Errorf("took %v, want %v", took, want)
				}
				if a := sim.Arrivals()[0]; a.End.Sub(a.Start) != want {
					t.Errorf("recorded %v", a.End.Sub(a.Start))
				}
			})
		})
	}
}

func TestFault_HangEndsWithTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := &Server{}
		hc, stop := pipeRig(t, sim)
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Second)
		defer cancel()
		if _, err := post(ctx, hc, sim, keyed("m", "hang")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		synctest.Wait()
		a := sim.Arrivals()[0]
		if a.Status != 0 || a.Accepted || a.End.Sub(a.Start) != 150*time.Second {
			t.Errorf("recorded %+v", a)
		}
	})
}

func TestRelease_EndsHangsAndDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := &Server{}
		hc, stop := pipeRig(t, sim)
		defer stop()
		type outcome struct {
			status int
			err    error
		}
		outcomes := map[string]chan outcome{"hang": make(chan outcome, 1), "delay=1h": make(chan outcome, 1)}
		for text, c := range outcomes {
			go func() {
				status, err := post(t.Context(), hc, sim, keyed(text, text))
				c <- outcome{status, err}
			}()
		}
		synctest.Wait()
		for _, a := range sim.Arrivals() {
			if a.Finish != 0 {
				t.Errorf("%s has finished", a.Key)
			}
		}
		sim.Release()
		if o := <-outcomes["hang"]; o.err == nil {
			t.Errorf("the hanging one was answered %d", o.status)
		}
		if o := <-outcomes["delay=1h"]; o.err != nil || o.status != 200 {
			t.Errorf("the delayed one: %d, %v", o.status, o.err)
		}
	})
}
