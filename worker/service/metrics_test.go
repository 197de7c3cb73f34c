package service_test

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	_ "modernc.org/sqlite"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/redox/reconcile"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// measured runs a service with so many sources, the first of which is clinic-a, until the test ends,
// and returns its metrics once it has looked at its streams.
func measured(t *testing.T, sources int, extra string, flags ...map[string]any) (*world, *service.Service, *prometheus.Registry) {
	t.Helper()
	var list strings.Builder
	fmt.Fprintf(&list, "clinic-a: {id: %s, key: main}", clinicA)
	for i := 1; i < sources; i++ {
		fmt.Fprintf(&list, ", clinic-%04d: {id: 00000000-0000-4000-8000-%012d, key: main}", i, i)
	}
	w, err := newWorld(new(redoxsim.Server), list.String(), extra)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	c, err := w.configure(append(flags, nil)[0])
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	s, err := service.New(c, service.Options{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	for all := families(t, registry); all["redoxworker_dead_letters"] == nil || all["redoxworker_queue_messages"] == nil; all = families(t, registry) {
		<-time.After(20 * time.Millisecond)
	}
	return w, s, registry
}

func families(t *testing.T, r *prometheus.Registry) map[string]*dto.MetricFamily {
	t.Helper()
	list, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*dto.MetricFamily)
	for _, f := range list {
		all[f.GetName()] = f
	}
	return all
}

// others registers what only some configurations have.
func others(t *testing.T, w *world, registry *prometheus.Registry) {
	t.Helper()
	c := config.Defaults()
	c.Outbox.Driver = config.DriverSQLite
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	relay, err := service.NewRelay(&c, nil, db, nil, w.js, nil)
	if err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(service.RelayCollector(relay))
	look := func(context.Context, string) (platform.Log, error) { return platform.Log{}, nil }
	if _, err := reconcile.New(w.js, look, reconcile.Config{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
}

// documented are the rows of deploy/METRICS.md by name: type, labels, whose, meaning, alert.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string][]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(redoxworker_[a-z_]+)` \\|(.*)\\|$").FindAllStringSubmatch(string(text), -1) {
		cells := strings.Split(m[2], "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows[m[1]] = cells
	}
	return rows
}

// row is how a family is to be documented, but for the alert.
func row(f *dto.MetricFamily) []string {
	names := make(map[string]bool)
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			names[l.GetName()] = true
		}
	}
	meaning, fleet := strings.CutSuffix(f.GetHelp(), " Of the fleet: every worker says the same, so take max, not sum.")
	whose := "worker"
	if !fleet {
		meaning, fleet = strings.CutSuffix(meaning, " Of the fleet: every relay of the database says the same, so take max, not sum.")
	}
	if fleet {
		whose = "fleet"
	}
	return []string{strings.ToLower(f.GetType().String()), strings.Join(slices.Sorted(maps.Keys(names)), ", "), whose, meaning}
}

// Every metric is in deploy/METRICS.md as it is, nothing else is, and there are no remarks of
// promtool about any. All families are there before anything has happened.
func TestMetrics_AreThoseOfTheDocument(t *testing.T) {
	t.Parallel()
	w, _, registry := measured(t, 1, "registry: true\n")
	others(t, w, registry)
	rows, all := documented(t), families(t, registry)
	var list []*dto.MetricFamily
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, all[name])
		want, got := row(all[name]), rows[name]
		if len(got) != 5 || !slices.Equal(got[:4], want) {
			t.Errorf("METRICS.md has %q, want\n| `%s` | %s | … |", got, name, strings.Join(want, " | "))
		}
	}
	for name := range rows {
		if all[name] == nil {
			t.Errorf("METRICS.md has %s, which a worker does not show at its start", name)
		}
	}
	problems, err := promlint.NewWithMetricFamilies(list).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promtool: %s: %s", p.Metric, p.Text)
	}
}

// What a scrape shows is bounded, however many sources there are.
func TestMetrics_SeriesAreBounded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sources, most int
		flags         map[string]any
	}{{1, 500, nil}, {100, 8_000, nil}, {100, 900, map[string]any{"admin.metric_sources": 2}}, {5_000, 8_000, nil}} {
		w, s, _ := measured(t, c.sources, "", c.flags)
		p, err := w.publisher("")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Request(t.Context(), outbox.Message{Source: "clinic-a", Lane: contract.LaneSend, Body: admit("1")}); err != nil {
			t.Fatal(err)
		}
		began, page := time.Now(), httptest.NewRecorder()
		s.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		took := time.Since(began)
		series := strings.Count(page.Body.String(), "\nredoxworker_")
		t.Logf("%d sources: %d series, %d bytes, %v", c.sources, series, page.Body.Len(), took)
		if series > c.most || series == 0 {
			t.Errorf("%d sources have %d series, want %d at most", c.sources, series, c.most)
		}
	}
}
