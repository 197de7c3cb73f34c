package meter

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/internal/tally"
)

// gather returns the metrics of a family, by their labels.
func gather(t *testing.T, r prometheus.Gatherer, name string) map[string]*dto.Metric {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*dto.Metric)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if f.GetName() == name {
				all[strings.Join(labels, " ")] = m
			}
		}
	}
	return all
}

// total is the sum of a counter over all its series.
func total(t *testing.T, r prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	for _, m := range gather(t, r, name) {
		sum += m.GetCounter().GetValue()
	}
	return sum
}

func newMeter(t *testing.T, sources int) (*Meter, *prometheus.Registry) {
	t.Helper()
	r := prometheus.NewRegistry()
	m, err := New(r, Config{Sources: sources})
	if err != nil {
		t.Fatal(err)
	}
	return m, r
}

func settle(s *Source, settlement outbox.Settlement, n int) {
	for range n {
		s.Settled(Settled{Lane: contract.LaneSend, Settlement: settlement, Age: time.Second})
	}
}

// However many sources there are, so many have series of their own: those whose messages fail
// first. Who gets them is shown at 0 before it counts, who loses them is shown for a while, and no
// message is missing in the sum at any time.
func TestMeter_SourcesThatNeedItHaveSeries(t *testing.T) {
	t.Parallel()
	m, r := newMeter(t, 10)
	m.Expect(300)
	now := time.Now()
	var all []*Source
	for i := range 300 {
		all = append(all, m.Source(fmt.Sprintf("clinic-%04d", i)))
	}
	own := func() (names []string) {
		for labels := range gather(t, r, "redoxworker_retries_total") {
			if labels != OtherSources {
				names = append(names, labels)
			}
		}
		return names
	}
	if n := len(own()); n != 0 {
		t.Errorf("%d sources have series before any has done anything", n)
	}
	for i, s := range all[:50] {
		settle(s, outbox.Delivered, i)
	}
	settle(all[290], outbox.Rejected, 10)
	count := float64(50*49/2 + 10)
	m.Rank(now)
	failing := gather(t, r, "redoxworker_settled_total")["send rejected clinic-0290"]
	if len(own()) != 10 || failing == nil || failing.GetCounter().GetValue() != 0 {
		t.Fatalf("%v have series; that of the failing source: %v", own(), failing)
	}
	m.Rank(now.Add(time.Minute))
	settle(all[290], outbox.Rejected, 3)
	if v := gather(t, r, "redoxworker_settled_total")["send rejected clinic-0290"].GetCounter().GetValue(); v != 3 {
		t.Errorf("the failing source has %v, of 3 after a minute", v)
	}
	// Another fails: somebody who had only traffic, and has none now, makes room.
	for minute := range 20 {
		settle(all[280], outbox.Held, 5)
		settle(all[290], outbox.Rejected, 1)
		count += 6
		m.Rank(now.Add(time.Duration(2+minute) * time.Minute))
		if minute >= 5 && minute%5 != 0 {
			continue
		}
		if n := len(own()); n > 10 {
			t.Fatalf("%d sources have series of their own", n)
		}
		if got := total(t, r, "redoxworker_settled_total"); minute < 5 && got != count+3 {
			t.Errorf("minute %d: %v of %v messages are counted", minute, got, count+3)
		}
	}
	names := strings.Join(own(), " ")
	if !strings.Contains(names, "clinic-0280") || !strings.Contains(names, "clinic-0290") {
		t.Errorf("series of their own have %s", names)
	}
}

// A source that is not served any more is not shown for ever, and one that comes again counts.
func TestMeter_SourcesComeAndGo(t *testing.T) {
	t.Parallel()
	m, r := newMeter(t, 2)
	a := m.Source("a")
	settle(a, outbox.Delivered, 1)
	m.Forget("a")
	settle(a, outbox.Delivered, 1)
	m.Source("a")
	m.Source("b")
	m.Rank(time.Now().Add(fadesFor + time.Second))
	m.Rank(time.Now().Add(fadesFor + time.Minute))
	settle(m.Source("a"), outbox.Delivered, 1)
	got := gather(t, r, "redoxworker_settled_total")
	if a, other := got["send delivered a"], got["send delivered "+OtherSources]; a.GetCounter().GetValue() != 1 || other.GetCounter().GetValue() != 1 {
		t.Errorf("a %v, others %v", a, other)
	}
	if m.Source("c"); gather(t, r, "redoxworker_retries_total")["c"] != nil {
		t.Error("a third source has series of its own, two may")
	}
}

// All counters are there before anything has happened, and durations name a trace that is kept.
func TestMeter_FromTheStartAndExemplars(t *testing.T) {
	t.Parallel()
	m, r := newMeter(t, 0)
	s := m.Source("a")
	if n := len(gather(t, r, "redoxworker_settled_total")); n != 2*lanes*settlements {
		t.Errorf("%d series of settlements", n)
	}
	if n := len(gather(t, r, "redoxworker_attempts_total")); n != 2*statuses {
		t.Errorf("%d series of attempts", n)
	}
	s.Attempt(Attempt{Lane: contract.LaneRequest, Status: 503, Written: true, Again: true, Took: time.Second, Trace: "0af7651916cd43dd8448eb211c80319c"})
	s.Attempt(Attempt{Lane: contract.LaneSend, Written: true, Unknown: true})
	s.Attempt(Attempt{Lane: contract.LaneSend})
	s.Settled(Settled{Lane: contract.LaneRequest, Settlement: outbox.Delivered, Age: 2 * time.Second, Replay: true, Trace: "0af7651916cd43dd8448eb211c80319c"})
	for family, labels := range map[string]string{"redoxworker_attempt_duration_seconds": "request 5xx", "redoxworker_message_age_seconds": "request a"} {
		h := gather(t, r, family)[labels].GetHistogram()
		exemplar := ""
		for _, b := range h.GetBucket() {
			for _, l := range b.GetExemplar().GetLabel() {
				exemplar += l.GetValue()
			}
		}
		if h.GetSampleCount() != 1 || exemplar != "0af7651916cd43dd8448eb211c80319c" || h.Schema == nil {
			t.Errorf("%s{%s}: %d values, exemplar %q, native %v", family, labels, h.GetSampleCount(), exemplar, h.Schema)
		}
	}
	for family, labels := range map[string]string{"redoxworker_retries_total": "a", "redoxworker_unknown_outcomes_total": "a", "redoxworker_replays_total": "delivered"} {
		if v := gather(t, r, family)[labels].GetCounter().GetValue(); v != 1 {
			t.Errorf("%s{%s} is %v", family, labels, v)
		}
	}
	for _, status := range []string{"5xx", "none", "unsent"} {
		if v := gather(t, r, "redoxworker_attempts_total")["a "+status].GetCounter().GetValue(); v != 1 {
			t.Errorf("%v attempts %s", v, status)
		}
	}
}

// busy has each of so many sources do everything there is to count.
func busy(t testing.TB, sources int) *prometheus.Registry {
	r := prometheus.NewRegistry()
	m, err := New(r, Config{})
	if err != nil {
		t.Fatal(err)
	}
	m.Expect(sources)
	now, seen := time.Now(), Seen{Queue: tally.Queue{At: time.Now(), First: time.Now(), Messages: map[tally.Waiting]uint64{}}}
	for i := range sources {
		s := m.Source(fmt.Sprintf("clinic-%04d", i))
		settle(s, outbox.Delivered, 1)
		for _, lane := range laneNames {
			seen.Messages[tally.Waiting{Source: s.name, Lane: lane}] = 1
		}
	}
	m.Rank(now)
	m.Rank(now.Add(time.Minute))
	for i := range min(sources, 2*DefaultSources) { // the others count as one
		s := m.Source(fmt.Sprintf("clinic-%04d", i))
		for _, lane := range laneNames {
			for _, status := range []int{0, 200, 302, 404, 503} {
				s.Attempt(Attempt{Lane: lane, Status: status, Written: true})
			}
			s.Settled(Settled{Lane: lane, Settlement: outbox.Delivered})
		}
	}
	m.Queue.Look(seen)
	return r
}

// The series of a worker whose sources are all busy in every lane are bounded.
func TestMeter_SeriesAreBounded(t *testing.T) {
	t.Parallel()
	for sources, most := range map[int]int{1: 500, 100: 9_000, 5_000: 9_000} {
		families, err := busy(t, sources).Gather()
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if n++; m.GetHistogram() != nil {
					n += len(m.GetHistogram().GetBucket()) + 2 // +Inf, sum and count
				}
			}
		}
		t.Logf("%d sources: %d series", sources, n)
		if n > most {
			t.Errorf("%d sources have %d series, want %d at most", sources, n, most)
		}
	}
}

// What a scrape of 5,000 busy sources costs.
func BenchmarkScrape(b *testing.B) {
	page := promhttp.HandlerFor(busy(b, 5_000), promhttp.HandlerOpts{EnableOpenMetrics: true})
	request := httptest.NewRequest("GET", "/metrics", nil)
	for b.Loop() {
		page.ServeHTTP(httptest.NewRecorder(), request)
	}
}
