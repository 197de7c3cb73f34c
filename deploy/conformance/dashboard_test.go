package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker"
)

// dashboard is what of dashboard.json is looked at.
type dashboard struct {
	UID         string `json:"uid"`
	Annotations struct {
		List []struct{ Expr string } `json:"list"`
	} `json:"annotations"`
	Templating struct {
		List []struct{ Name, Type, Query string } `json:"list"`
	} `json:"templating"`
	Panels []panel `json:"panels"`
}

type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ H, W, X, Y int }
	Targets []struct{ RefID, Expr string }
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile("../monitoring/dashboard.json")
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var metricName = regexp.MustCompile(`redoxworker_[a-z_]+`)

// documented are the metrics of METRICS.md.
func documented(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile("../METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(redoxworker_[a-z_]+)` \\| ([a-z]+)").FindAllStringSubmatch(string(text), -1) {
		if names = append(names, m[1]); m[2] == "histogram" || m[2] == "summary" {
			names = append(names, m[1]+"_bucket", m[1]+"_sum", m[1]+"_count")
		}
	}
	return names
}

// What the dashboard and the alerts ask for exists, and every question of the dashboard has an answer
// from a worker that has had some traffic and some trouble.
func TestDashboard_EveryQueryIsAnswered(t *testing.T) {
	t.Parallel()
	names := documented(t)
	for _, file := range []string{"../monitoring/dashboard.json", "../monitoring/alerts.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range metricName.FindAllString(string(text), -1) {
			if !slices.Contains(names, name) {
				t.Errorf("%s asks for %s, which METRICS.md does not have", file, name)
			}
		}
	}
	test := busy(t)
	variables := strings.NewReplacer("$job", ".*", "$source", ".*", "$__rate_interval", "5m")
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			expr := fmt.Sprintf("clamp_max(count(%s), 1)", variables.Replace(target.Expr))
			if strings.Contains(expr, "$") {
				t.Errorf("panel %q has a variable that is none: %s", p.Title, target.Expr)
			}
			test.Tests = append(test.Tests, promQuery{Expr: expr, At: "40m", Samples: []promSample{{"{}", 1}}})
		}
	}
	// What KEDA scales by: one message waits, and no request for the quota.
	scale, err := os.ReadFile("../kubernetes/production/scale.yaml")
	if err != nil {
		t.Fatal(err)
	}
	query := regexp.MustCompile(`(?m)^ +query: (.+)$`).FindStringSubmatch(string(scale))
	if query == nil {
		t.Fatal("scale.yaml has no query")
	}
	job := strings.NewReplacer("redoxworker/redoxworker", "redoxworker")
	test.Tests = append(test.Tests, promQuery{Expr: job.Replace(query[1]), At: "40m", Samples: []promSample{{"{}", 1}}})
	promtool(t, []promTest{test})
}

// busy is what Prometheus has of a worker with an outbox, whose source clinic-a is paused and clinic-b
// has had a message rejected.
func busy(t *testing.T) promTest {
	s := newSite(t, 2, "outbox: {driver: sqlite, dsn: outbox.db}")
	s.openOutbox()
	s.work("v1.0.0")
	was := s.scrape()
	s.publish("clinic-b", 2)
	s.shows("delivered", func(m metrics) bool {
		return m.max("redoxworker_settled_total", `settlement="delivered"`, `source="clinic-b"`) == 2
	})
	s.must(s.sim.SetProfile("rejected"))
	s.publish("clinic-b", 1)
	s.must(worker.NewPauses(s.js, "", "ann@ops").Pause(s.Context(), "clinic-a", 0, "the hospital moves"))
	s.shows("paused", above("redoxworker_paused", 0, `kind="operator"`))
	s.publish("clinic-a", 1)
	s.shows("all", func(m metrics) bool {
		return m.max("redoxworker_dead_letters", `source="clinic-b"`) > 0 && m.max("redoxworker_queue_messages", `source="clinic-a"`) > 0 &&
			m.max("redoxworker_source_oldest_seconds") > 0 && m.max("redoxworker_settled_total", `settlement="rejected"`, `source="clinic-b"`) == 1
	})
	test := promTest{Name: "busy", Interval: "1m"}
	for name, now := range s.scrape() {
		if strings.HasPrefix(name, "redoxworker_") {
			before, known := was[name]
			test.Input = append(test.Input, promSeries{name, values(before, known, now, now, time.Second, 15*time.Minute, time.Minute)})
		}
	}
	return test
}

// Grafana's own rules for what it loads: ids are unique, panels lie side by side within 24 columns, and
// variables exist.
func TestDashboard_Layout(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.UID != "redoxworker" || len(d.Panels) < 20 {
		t.Fatalf("uid %q, %d panels", d.UID, len(d.Panels))
	}
	taken := make(map[[2]int]string)
	ids := make(map[int]bool)
	var rows []string
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %q: id %d comes twice", p.Title, p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("panel %q lies at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("panel %q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
		} else if len(p.Targets) == 0 {
			t.Errorf("panel %q asks nothing", p.Title)
		}
	}
	if want := []string{"Overview", "Per source", "Keys and quota", "SQL outbox"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"datasource", "job", "source"}) {
		t.Errorf("variables %q", names)
	}
}
