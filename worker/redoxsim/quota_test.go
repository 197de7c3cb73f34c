package redoxsim

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestQuota_RollsPerClient(t *testing.T) {
	t.Parallel()
	clk := newClock()
	sim := &Server{Now: clk.now, Quota: Quota{Limit: 3, Per: 10 * time.Second}, ClientIP: func(r *http.Request) string { return r.Header.Get("X-Ip") }}
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

// The window never holds more than the limit, and nothing is refused that would have fitted.
func TestQuota_ExactWindow(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		per := time.Duration(rapid.IntRange(1, 20).Draw(t, "per"))
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
			got := q.take("c", Quota{limit, per}, now)
			if got != (inWindow < limit) {
				t.Fatalf("%d of %d in the window: taken %t", inWindow, limit, got)
			}
			if got {
				taken = append(taken, now)
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
