package conformance

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// quiet is how long all is well before an incident, in the time of Prometheus; soon is when it is
// looked at first.
const quiet, soon = 30 * time.Minute, 14 * time.Minute

// promTest is one test of `promtool test rules`.
type promTest struct {
	Name     string       `yaml:"name"`
	Interval string       `yaml:"interval"`
	Input    []promSeries `yaml:"input_series"`
	Tests    []promQuery  `yaml:"promql_expr_test"`
}

type promSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type promQuery struct {
	Expr    string       `yaml:"expr"`
	At      string       `yaml:"eval_time"`
	Samples []promSample `yaml:"exp_samples"`
}

type promSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

// Each alert is raised by what it is for, from what a real worker shows then, and nothing raises
// another one.
func TestAlerts_FireInTheirIncident(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var tests []promTest
	t.Run("incidents", func(t *testing.T) {
		for _, i := range incidents() {
			t.Run(i.name, func(t *testing.T) {
				t.Parallel()
				test := i.play(t)
				mu.Lock()
				defer mu.Unlock()
				tests = append(tests, test...)
			})
		}
	})
	if t.Failed() {
		return
	}
	fired := make(map[string]bool)
	for _, i := range incidents() {
		for _, name := range slices.Concat(slices.Collect(maps.Values(i.later))...) {
			fired[name] = true
		}
		for _, name := range i.fires {
			fired[name] = true
		}
	}
	for _, a := range alerts(t) {
		if !fired[a.Alert] {
			t.Errorf("no incident raises %s", a.Alert)
		}
	}
	promtool(t, tests)
}

// play lets the incident happen and says what Prometheus is to make of it.
func (i incident) play(t *testing.T) []promTest {
	s := newSite(t, max(1, i.sources), i.config)
	if i.before != nil {
		i.before(s)
	}
	s.work("v1.0.0")
	was, start := s.scrape(), time.Now()
	if i.happens != nil {
		i.happens(s)
	}
	s.shows(i.name, i.shows)
	now, began := s.scrape(), time.Now()
	<-time.After(1500 * time.Millisecond)
	then, after, whole := s.scrape(), time.Since(began), time.Since(start)
	rules := readRules(t)
	look := map[time.Duration][]string{soon: i.fires}
	maps.Copy(look, i.later)
	var tests []promTest
	for at, want := range look {
		step := time.Minute
		if at > 2*time.Hour {
			step = 5 * time.Minute
		}
		test := promTest{Name: i.name, Interval: step.String()}
		for name := range then {
			base, _, _ := strings.Cut(name, "{")
			if strings.HasPrefix(base, "redoxworker_") && strings.Contains(rules, base) {
				before, known := was[name]
				from, passed := now[name], after
				if i.grows != "" && strings.HasPrefix(name, i.grows) {
					from, passed = before, whole
				}
				if then[name] > 0 && (strings.HasSuffix(base, "_oldest_seconds") || strings.HasSuffix(base, "_lag_seconds")) {
					from, passed = 0, time.Duration(then[name]*float64(time.Second)) // an age, which is looked at now and then
				}
				test.Input = append(test.Input, promSeries{name, values(before, known, from, then[name], passed, at, step)})
			}
		}
		test.Tests = []promQuery{{Expr: `count by (alertname) (ALERTS{alertstate="firing"})`, At: minutes(quiet - step)}}
		if i.before != nil { // it was wrong from the start
			test.Tests = nil
		}
		without := fmt.Sprintf(`, alertname!~"%s"`, strings.Join(append([]string{"-"}, i.also...), "|"))
		query := promQuery{Expr: `group by (alertname) (ALERTS{alertstate="firing"` + without + `})`, At: minutes(quiet + at)}
		for _, name := range want {
			query.Samples = append(query.Samples, promSample{fmt.Sprintf("{alertname=%q}", name), 1})
		}
		test.Tests = append(test.Tests, query)
		tests = append(tests, test)
	}
	return tests
}

func minutes(d time.Duration) string { return fmt.Sprintf("%dm", int(d.Minutes())) }

// values is a series in promtool's notation: as it was, then as it is. What grew by itself between two
// looks goes on doing so.
func values(was float64, known bool, now, then float64, passed, at, step time.Duration) string {
	steps := int(at/step) + 1
	before := fmt.Sprintf("%v+0x%d", was, int(quiet/step)-1)
	if !known {
		before = fmt.Sprintf("_x%d", int(quiet/step))
	}
	slope := 0.0
	if then > now {
		slope = (then - now) / passed.Seconds() * step.Seconds()
	}
	return fmt.Sprintf("%s %v+%vx%d", before, then, strconv.FormatFloat(slope, 'f', 3, 64), steps)
}

// alert is a rule of alerts.yaml.
type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// readRules is the text of alerts.yaml.
func readRules(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string  `yaml:"name"`
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(readRules(t)), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// promtool runs tests of alerts.yaml, those of one interval at once.
func promtool(t *testing.T, tests []promTest) {
	t.Helper()
	byInterval := make(map[string][]promTest)
	for _, test := range tests {
		byInterval[test.Interval] = append(byInterval[test.Interval], test)
	}
	for interval, tests := range byInterval {
		promtoolAt(t, interval, tests)
	}
}

// promtoolAt runs tests, with the rules looked at once in an interval.
func promtoolAt(t *testing.T, interval string, tests []promTest) {
	t.Helper()
	rules, err := filepath.Abs("../monitoring/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(map[string]any{"rule_files": []string{rules}, "evaluation_interval": interval, "tests": tests})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "alerts_test.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "promtool", "test", "rules", file).CombinedOutput()
	if err != nil {
		t.Errorf("promtool (of the package prometheus) test rules: %v\n%s", err, out)
	}
}

// Every alert has a severity, a summary and its section of the runbook, and promtool finds no fault.
func TestAlerts_AreWhole(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "promtool", "check", "rules", "--lint-fatal", "../monitoring/alerts.yaml").CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
	for _, a := range alerts(t) {
		if severity := a.Labels["severity"]; severity != "page" && severity != "ticket" {
			t.Errorf("%s: severity %q", a.Alert, severity)
		}
		const runbook = "https://github.com/redoxworker/redoxworker/blob/main/deploy/RUNBOOK.md#"
		if a.Annotations["summary"] == "" || a.Annotations["runbook_url"] != runbook+strings.ToLower(a.Alert) {
			t.Errorf("%s: annotations %v", a.Alert, a.Annotations)
		}
	}
}
