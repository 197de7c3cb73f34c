package redoxsim

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuota_RollsPerClient(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim := &Server{Now: clk.now, Quota: Quota{Limit: 3, Per: 10 * time.Second, Forgive: true}, ClientIP: func(r *http.Request) string { return r.Header.Get("X-Ip") }}
	g := newRig(t, sim)
	ask := func(ip string) received {
		return g.do(http.MethodPost, PathEndpoint, keyed("m", ""), with(bearer(sim.NewToken("c", 0)), "X-Ip", ip))
	}
	for i, step := range []struct {
		wait time.Duration
		ip   string
		want int
	}{
		{0, "a", 200}, {4 * time.Second, "a", 200}, {0, "a", 200}, {0, "a", 429}, {0, "b", 200},
		{6*time.Second - 1, "a", 429}, {1, "a", 200}, {0, "a", 429}, {4 * time.Second, "a", 200}, {0, "a", 200}, {0, "a", 429},
	} {
		clk.add(step.wait)
		r := ask(step.ip)
		if r.status != step.want {
			t.Errorf("step %d: %d, want %d", i, r.status, step.want)
		}
		if limit := r.header.Get("X-RateLimit-Limit"); (limit == "3") != (step.want == 429) {
			t.Errorf("step %d: X-RateLimit-Limit %q", i, limit)
		}
	}
	st := sim.Stats()
	if st.QuotaPeak != 3 || st.QuotaRefused != 4 || st.ByStatus[429] != 4 {
		t.Errorf("%+v", st)
	}
}

func TestQuota_CountsTokensAndSparesAdmin(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{Quota: Quota{Limit: 2}})
	g.token()
	for range 5 {
		g.do(http.MethodGet, "/_sim/stats", "", nil)
	}
	g.token()
	if r := g.send(keyed("m", "")); r.status != 429 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/") {
		t.Errorf("%d %v", r.status, r.header)
	}
	if a := g.last(); a.Client != "127.0.0.1" || a.Status != 429 {
		t.Errorf("%+v", a)
	}
}

// Nothing is refused that fits into the window, and the wait ends when the next would.
func TestQuota_ExactWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		per := time.Duration(rapid.IntRange(1, 20).Draw(t, "per"))
		forgive := rapid.Bool().Draw(t, "forgive")
		var q quotaStore
		var taken []time.Time
		now := newClock().now()
		for range rapid.IntRange(0, 60).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "gap")))
			inWindow := 0
			for _, at := range taken {
				if now.Sub(at) < per {
					inWindow++
				}
			}
			wait, got := q.take("c", Quota{Limit: limit, Per: per, Forgive: forgive}, now)
			if got != (inWindow < limit) {
				t.Fatalf("%d of %d in the window: taken %t", inWindow, limit, got)
			}
			if got || !forgive {
				taken = append(taken, now)
			}
			if !got && wait != per-now.Sub(taken[len(taken)-limit]) {
				t.Fatalf("wait %d", wait)
			}
		}
	})
}

func TestQuota_HeaderHasCommas(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "1", 999: "999", 1000: "1,000", 7500: "7,500", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	if got := limited(0).header.Get("X-RateLimit-Limit"); got != "7,500" {
		t.Errorf("default %q", got)
	}
	if q := RedoxQuota(); q.Limit != 7500 || q.Per != 5*time.Minute {
		t.Errorf("%+v", q)
	}
}

// A client that goes on knocking stays out, and the header says for how long.
func TestQuota_RefusedRequestsCount(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim := &Server{Now: clk.now, Quota: Quota{Limit: 2, Per: 10 * time.Second, RetryAfter: true}}
	g := newRig(t, sim)
	for i, step := range []struct {
		wait       time.Duration
		want       int
		retryAfter string
	}{
		{0, 200, ""}, {0, 200, ""}, {4 * time.Second, 429, "6"}, {5 * time.Second, 429, "5"}, {2 * time.Second, 429, "8"},
		{7*time.Second + 1, 429, "3"}, {10 * time.Second, 200, ""},
	} {
		clk.add(step.wait)
		r := g.send(keyed("m", ""))
		if r.status != step.want || r.header.Get("Retry-After") != step.retryAfter {
			t.Errorf("step %d: %d, Retry-After %q", i, r.status, r.header.Get("Retry-After"))
		}
	}
	if used := sim.QuotaUsed(); used["127.0.0.1"] != 1 {
		t.Errorf("used %v", used)
	}
}

func TestQuota_ChangesAndRestarts(t *testing.T) {
	t.Parallel()
	sim := &Server{Quota: Quota{Limit: 1}, ClientIP: func(r *http.Request) string { return r.Header.Get("X-Ip") }}
	g := newRig(t, sim)
	token := sim.NewToken("c", 0)
	step := func(ip string, want int) {
		t.Helper()
		if r := g.do(http.MethodPost, PathEndpoint, keyed("m", ""), with(bearer(token), "X-Ip", ip)); r.status != want {
			t.Errorf("%s: %d, want %d", ip, r.status, want)
		}
	}
	step("a", 200)
	step("b", 200)
	step("a", 429)
	sim.RestartWindow("a")
	step("a", 200)
	step("b", 429)
	sim.RestartWindow()
	step("b", 200)
	sim.SetQuota(Quota{Limit: 2, Per: time.Hour})
	step("b", 200)
	step("b", 200)
	step("b", 429)
	if q := sim.QuotaInForce(); q.Limit != 2 || q.Per != time.Hour {
		t.Errorf("%+v", q)
	}
	if err := sim.SetProfile("none"); err != nil {
		t.Fatal(err)
	}
	step("b", 200)
	step("b", 429)
	sim.SetQuota(Quota{})
	step("b", 200)
	step("b", 200)
}

// Half an hour at Redox's limit, in fake time: the record knows the fullest window.
func TestWindows_AtRedoxLimit(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim := &Server{Now: clk.now, Quota: RedoxQuota(), NoAdmin: true}
	token := sim.NewToken("c", 3*time.Hour)
	h := bearer(token)
	text := keyed("m", "")
	const pace = 40 * time.Millisecond // 7,500 in 5 min
	ask := func() int {
		r := httptest.NewRequest(http.MethodPost, PathEndpoint, strings.NewReader(text))
		r.Header = h
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		return w.Code
	}
	for range 30 * time.Minute / pace {
		if got := ask(); got != http.StatusOK {
			t.Fatalf("%d at the limit's own pace", got)
		}
		clk.add(pace)
	}
	windows := sim.Windows(0)
	if len(windows) != 1 || windows[0].Requests != 7500 || windows[0].Limited != 0 || windows[0].Total != 45_000 {
		t.Fatalf("%+v", windows)
	}
	clk.add(-1)
	if got := ask(); got != http.StatusTooManyRequests {
		t.Errorf("%d a nanosecond early", got)
	}
	if w := sim.Windows(5 * time.Minute)[0]; w.Requests != 7501 || w.Limited != 1 {
		t.Errorf("%+v", w)
	}
}

func TestWindows_AgainstCounting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		per := time.Duration(rapid.IntRange(1, 20).Draw(t, "per"))
		offsets := rapid.SliceOfN(rapid.IntRange(0, 60), 1, 40).Draw(t, "offsets")
		start := newClock().now()
		var arrivals []Arrival
		for _, o := range offsets {
			arrivals = append(arrivals, Arrival{Client: "c", Start: start.Add(time.Duration(o))})
		}
		want := 0
		for _, from := range offsets {
			n := 0
			for _, o := range offsets {
				if o >= from && time.Duration(o-from) < per {
					n++
				}
			}
			want = max(want, n)
		}
		if got := windowsOf(arrivals, per)[0]; got.Requests != want || got.Total != len(offsets) {
			t.Fatalf("%+v, want %d", got, want)
		}
	})
}

func TestQuota_JSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Quota{
		`{"limit":50,"per":"5s"}`:                                  {Limit: 50, Per: 5 * time.Second},
		`{"limit":1,"per":"1m","retry_after":true,"forgive":true}`: {1, time.Minute, true, true},
		`{}`: {},
	} {
		var q Quota
		if err := json.Unmarshal([]byte(text), &q); err != nil || q != want {
			t.Errorf("%s: %+v, %v", text, q, err)
		}
	}
	for _, text := range []string{`{"limit":"x"}`, `{"per":"soon"}`, `{"per":"-1s"}`, `{"limits":1}`, `[]`} {
		var q Quota
		if err := json.Unmarshal([]byte(text), &q); err == nil {
			t.Errorf("%s is taken as %+v", text, q)
		}
	}
	made, err := json.Marshal(Quota{Limit: 7})
	if err != nil || string(made) != `{"limit":7,"per":"5m0s"}` {
		t.Errorf("%s, %v", made, err)
	}
}

func TestAdmin_QuotaWindowsAndLoad(t *testing.T) {
	t.Parallel()
	g := newRig(t, nil)
	post := func(path, text string, want int) {
		t.Helper()
		if r := g.do(http.MethodPost, "/_sim/"+path, text, jsonHeader); r.status != want {
			t.Errorf("%s %s: %d %s", path, text, r.status, r.body)
		}
	}
	post("quota", `{"limit":2,"per":"1h"}`, 200)
	post("quota", `{"limit":2,"per":"x"}`, 400)
	post("load", `{"base":"1ms","slots":3}`, 200)
	post("load", `{"jitter":2}`, 400)
	for i, want := range []int{200, 200, 429} {
		if r := g.send(keyed("m", "")); r.status != want {
			t.Errorf("send %d: %d", i, r.status)
		}
	}
	var shown quotaSetting
	g.do(http.MethodGet, "/_sim/quota", "", nil).json(t, &shown)
	if shown.Quota.Limit != 2 || shown.Used["127.0.0.1"] != 2 {
		t.Errorf("%+v", shown)
	}
	post("quota/restart?client=127.0.0.1", "", 200)
	if r := g.send(keyed("m", "")); r.status != 200 {
		t.Errorf("after the restart: %d", r.status)
	}
	var windows []Window
	g.do(http.MethodGet, "/_sim/windows?per=1h", "", nil).json(t, &windows)
	if len(windows) != 1 || windows[0].Requests != 4 || windows[0].Limited != 1 {
		t.Errorf("%+v", windows)
	}
	if r := g.do(http.MethodGet, "/_sim/windows?per=x", "", nil); r.status != 400 {
		t.Errorf("a bad per: %d", r.status)
	}
	var load Load
	g.do(http.MethodGet, "/_sim/load", "", nil).json(t, &load)
	if load != (Load{Base: time.Millisecond, Slots: 3}) {
		t.Errorf("%+v", load)
	}
}

func FuzzQuotaJSON(f *testing.F) {
	f.Add(`{"limit":50,"per":"5s"}`)
	f.Add(`{"retry_after":true}`)
	f.Fuzz(func(t *testing.T, text string) {
		var q, again Quota
		if json.Unmarshal([]byte(text), &q) != nil {
			return
		}
		if q.Per < 0 {
			t.Fatalf("%+v", q)
		}
		made, err := json.Marshal(q)
		if err != nil || json.Unmarshal(made, &again) != nil || again.per() != q.per() || again.Limit != q.Limit {
			t.Fatalf("%s becomes %s: %v", text, made, err)
		}
	})
}

// A client that is refused while it still sends a large body gets to see why.
func TestQuota_LargeBodiesSeeTheRefusal(t *testing.T) {
	t.Parallel()
	g := newRig(t, &Server{Quota: Quota{Limit: 1}})
	g.send(keyed("m", ""))
	for range 5 {
		if r := g.upload(strings.Repeat("x", 5_000_000), ""); r.status != 429 || g.last().BodySize < 5_000_000 {
			t.Errorf("%d", r.status)
		}
	}
}
