package redoxsim

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRecord_WhatArrived(t *testing.T) {
	t.Parallel()
	told := make(chan Arrival, 2)
	g := newRig(t, &Server{KeepBodies: true, Observe: func(a Arrival) { told <- a }})
	token := g.token()
	text := keyed("m-1", "")
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	h := with(with(bearer(token), "Redox-Source-Id", testSource), "traceparent", trace)
	before := time.Now()
	g.do(http.MethodPost, PathEndpoint, text, h)
	all := g.sim.Arrivals()
	if len(all) != 2 {
		t.Fatalf("%d arrivals", len(all))
	}
	login, got := all[0], all[1]
	want := Arrival{
		Seq: 2, Begin: 3, Finish: 4, Start: got.Start, End: got.End, Method: "POST", Path: PathEndpoint, Client: "127.0.0.1",
		Source: testSource, HeaderSource: testSource, BodySource: testSource, DataModel: "PatientAdmin", EventType: "NewPatient",
		Key: "m-1", Attempt: 1, InFlight: 1, Load: 1, BodySize: int64(len(text)), BodySHA256: sha256.Sum256([]byte(text)), Body: []byte(text),
		Token: TokenValid, TokenID: login.TokenID, TokenValid: true, KeyOwner: testClient, Status: 200, Accepted: true,
		LogIDs: got.LogIDs, TraceParent: trace, TraceID: got.TraceID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	all[0].TraceID, all[1].TraceID = "", "" // of the answers, which come later
	if diff := cmp.Diff(all, []Arrival{<-told, <-told}); diff != "" {
		t.Errorf("told otherwise than recorded: %s", diff)
	}
	if got.Start.Before(before) || got.End.Before(got.Start) {
		t.Errorf("from %v to %v", got.Start, got.End)
	}
	if login.Body != nil || login.BodySHA256 != (Digest{}) || login.Token != TokenNone || login.BodySize == 0 || login.TokenID == "" {
		t.Errorf("token request recorded as %+v", login)
	}
}

func TestRecord_Keys(t *testing.T) {
	t.Parallel()
	plain := body("Results.New", "", "")
	sum := sha256.Sum256([]byte(plain))
	for name, c := range map[string]struct {
		sim  *Server
		text string
		want string
	}{
		"digest":       {&Server{}, plain, hex.EncodeToString(sum[:16])},
		"named":        {&Server{}, keyed("k", ""), "k"},
		"own function": {&Server{MessageKey: func(h http.Header, b []byte) string { return h.Get("X-Key") + fmt.Sprint(len(b)) }}, plain, "h" + fmt.Sprint(len(plain))},
		"not JSON":     {&Server{}, "x", "2d711642b726b04401627ca9fbac32f5"},
	} {
		g := newRig(t, c.sim)
		g.do(http.MethodPost, PathEndpoint, c.text, with(bearer(g.sim.NewToken("c", 0)), "X-Key", "h"))
		if got := g.last().Key; got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestRecord_InFlightAndOverlap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := &Server{}
		hc, stop := pipeRig(t, sim)
		defer stop()
		var all sync.WaitGroup
		go1 := func(key, faults string) {
			all.Go(func() {
				if _, err := post(t.Context(), hc, sim, keyed(key, faults)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		go1("a", "delay=10s, delay=10s")
		go1("b", "delay=1s")
		<-time.After(2 * time.Second)
		go1("b", "ok, ok")
		go1("a", "delay=10s, delay=10s")
		during := sim.Stats()
		all.Wait()
		list := sim.Arrivals()
		var got []string
		for _, o := range Overlaps(list, func(a Arrival) string { return a.Key }) {
			got = append(got, fmt.Sprint(o.Group, o.First.Seq, o.Second.Seq))
		}
		if diff := cmp.Diff([]string{"a1 4"}, got); diff != "" {
			t.Errorf("overlaps: %s", diff)
		}
		var inFlight, keyInFlight []int
		for _, a := range list {
			inFlight, keyInFlight = append(inFlight, a.InFlight), append(keyInFlight, a.KeyInFlight)
		}
		if diff := cmp.Diff([][]int{{1, 2, 2, 2}, {0, 0, 0, 1}}, [][]int{inFlight, keyInFlight}); diff != "" {
			t.Error(diff)
		}
		if during.InFlight != 2 || during.MaxInFlight != 2 || during.Overlaps != 1 {
			t.Errorf("stats: %+v", during)
		}
	})
}

// An answer that has been read belongs to a request that is over: the successor of a message never overlaps it.
func TestRecord_SuccessorsDoNotOverlap(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	var lanes sync.WaitGroup
	for lane := range 8 {
		lanes.Go(func() {
			for i := range 50 {
				faults := []string{"", "huge=9KB", "slow-body=1ms", "503", "truncate"}[i%5]
				_, _ = g.try(http.MethodPost, PathEndpoint, keyed(fmt.Sprint("lane-", lane, "/", i), faults), bearer(g.sim.NewToken("c", 0)))
			}
		})
	}
	lanes.Wait()
	lane := func(a Arrival) string { name, _, _ := strings.Cut(a.Key, "/"); return name }
	if o := Overlaps(g.sim.Arrivals(), lane); len(o) != 0 {
		t.Errorf("%d overlaps, first %+v", len(o), o[0])
	}
	if n := len(g.sim.Arrivals()); n != 400 {
		t.Errorf("%d arrivals", n)
	}
}

func TestOverlaps_AgainstEveryPair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "n")
		var list []Arrival
		for i := range n {
			begin := uint64(i*3 + 1)
			finish := begin + 1 + uint64(rapid.IntRange(0, 15).Draw(t, "length"))
			if rapid.IntRange(0, 9).Draw(t, "open") == 0 {
				finish = 0
			}
			list = append(list, Arrival{Seq: uint64(i + 1), Begin: begin, Finish: finish, Key: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "key")})
		}
		want := map[uint64]bool{} // those that met an earlier one
		for i, a := range list {
			for _, b := range list[:i] {
				if a.Key != "" && a.Key == b.Key && (b.Finish == 0 || b.Finish > a.Begin) {
					want[a.Seq] = true
				}
			}
		}
		got := map[uint64]bool{}
		for _, o := range Overlaps(list, func(a Arrival) string { return a.Key }) {
			if o.First.Seq >= o.Second.Seq || o.First.Key != o.Second.Key {
				t.Fatalf("pair %d and %d", o.First.Seq, o.Second.Seq)
			}
			got[o.Second.Seq] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// serveLocal asks the handler without a network.
func serveLocal(s *Server, token, text string) int {
	r := httptest.NewRequest(http.MethodPost, PathEndpoint, strings.NewReader(text))
	r.Header = bearer(token)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

func TestRecord_RingAndPaging(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		total := rapid.IntRange(0, 50).Draw(t, "total")
		page := rapid.IntRange(1, 10).Draw(t, "page")
		s := &Server{MaxArrivals: limit}
		token := s.NewToken("c", 0)
		for i := range total {
			serveLocal(s, token, keyed(fmt.Sprint(i), ""))
		}
		var want, got []uint64
		for seq := max(0, total-limit) + 1; seq <= total; seq++ {
			want = append(want, uint64(seq))
		}
		for after := uint64(0); ; {
			list := s.ArrivalsAfter(after, page)
			if len(list) == 0 {
				break
			}
			if len(list) > page {
				t.Fatalf("page of %d", len(list))
			}
			for _, a := range list {
				got = append(got, a.Seq)
			}
			after = got[len(got)-1]
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		st := s.Stats()
		if st.Recorded != len(want) || st.Dropped != uint64(total-len(want)) || len(s.log.keys) != len(want) {
			t.Fatalf("recorded %d, dropped %d, %d keys", st.Recorded, st.Dropped, len(s.log.keys))
		}
	})
}

func TestReset_ForgetsButGoesOn(t *testing.T) {
	t.Parallel()
	s := &Server{Quota: Quota{Limit: 2}}
	if err := s.SetProfile("demo"); err != nil {
		t.Fatal(err)
	}
	token := s.NewToken("c", 0)
	results := keyed("m", "503")
	got := []int{serveLocal(s, token, results), serveLocal(s, token, results), serveLocal(s, token, results)}
	s.Reset()
	got = append(got, serveLocal(s, token, results))
	if diff := cmp.Diff([]int{503, 200, 429, 503}, got); diff != "" {
		t.Error(diff)
	}
	st := s.Stats()
	if st.Requests != 1 || st.Recorded != 1 || st.Profile != "demo" || st.QuotaPeak != 1 || st.QuotaRefused != 0 || st.InFlight != 0 {
		t.Errorf("%+v", st)
	}
	if seq := s.Arrivals()[0].Seq; seq != 4 {
		t.Errorf("numbers start again at %d", seq)
	}
}

func TestReset_WithRequestsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := &Server{}
		hc, stop := pipeRig(t, sim)
		defer stop()
		done := make(chan error, 1)
		go func() {
			_, err := post(t.Context(), hc, sim, keyed("m", "delay=5s"))
			done <- err
		}()
		synctest.Wait()
		sim.Reset()
		if _, err := post(t.Context(), hc, sim, keyed("m", "")); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		st := sim.Stats()
		if st.InFlight != 0 || st.Recorded != 1 || len(sim.log.keys) != 1 {
			t.Errorf("%+v, %d keys", st, len(sim.log.keys))
		}
	})
}

func TestStats_Figures(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	g.token()
	g.send(keyed("a", "503"))
	g.send(keyed("a", "503"))
	g.send(keyed("a", "503"))
	g.do(http.MethodPost, PathEndpoint, keyed("b", ""), bearer("bad"))
	g.do(http.MethodGet, "/favicon.ico", "", nil)
	_, _ = g.try(http.MethodPost, PathEndpoint, keyed("c", "reset"), bearer(g.sim.NewToken("c", 0)))
	got := g.sim.Stats()
	want := Stats{
		Since: got.Since, Requests: 7, MaxInFlight: got.MaxInFlight, MaxLoad: got.MaxLoad, ByPath: map[string]int{PathEndpoint: 5, PathToken: 1, "other": 1},
		ByStatus: map[int]int{0: 1, 200: 3, 401: 1, 404: 1, 503: 1}, Accepted: 2, Duplicates: 1,
		Tokens: map[TokenState]int{TokenValid: 4, TokenUnknown: 1}, TokensIssued: 1, TokensLive: 5, Recorded: 7, Profile: "none",
		Logs: map[LogState]int{LogSucceeded: 2},
	}
	if diff := cmp.Diff(want, got); diff != "" || got.Since.IsZero() {
		t.Error(diff)
	}
}

func TestNoRecord_KeepsFiguresOnly(t *testing.T) {
	t.Parallel()
	s := &Server{NoRecord: true}
	token := s.NewToken("c", 0)
	for range 3 {
		if got := serveLocal(s, token, body("Results.New", "", "")); got != 200 {
			t.Fatal(got)
		}
	}
	st := s.Stats()
	if st.Accepted != 3 || st.Recorded != 0 || len(s.Arrivals()) != 0 || len(s.log.keys) != 0 || st.Tokens[TokenValid] != 3 {
		t.Errorf("%+v, %d keys", st, len(s.log.keys))
	}
	// Faults still work by attempt.
	got := []int{serveLocal(s, token, keyed("m", "503")), serveLocal(s, token, keyed("m", "503"))}
	if diff := cmp.Diff([]int{503, 200}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDigest_Text(t *testing.T) {
	t.Parallel()
	want := Digest(sha256.Sum256([]byte("x")))
	for _, d := range []Digest{want, {}} {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var got Digest
		if err := json.Unmarshal(text, &got); err != nil || got != d {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`"abc"`, `"` + strings.Repeat("zz", 32) + `"`} {
		var d Digest
		if err := json.Unmarshal([]byte(text), &d); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// What stays of a large body is its size and digest.
func TestRecord_LargeBodiesAreNotKept(t *testing.T) {
	g := newRig(t, &Server{MaxBody: 40_000_000}) // not parallel: it measures memory
	text := body("Media.New", "", `"_sim":{"key":"big"},"Media":{"FileContents":"`+strings.Repeat("A", 30_000_000)+`"}`)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 4 {
		if r := g.send(text); r.status != 200 {
			t.Fatalf("%d", r.status)
		}
	}
	runtime.GC()
	runtime.GC() // empties the pool of buffers
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 10_000_000 {
		t.Errorf("%d bytes are kept of 120 MB", kept)
	}
	if a := g.last(); a.BodySize != int64(len(text)) || a.Body != nil {
		t.Errorf("%d bytes", a.BodySize)
	}
}
