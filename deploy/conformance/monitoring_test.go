package conformance

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var writeMonitoring = flag.Bool("monitoring.write", false, "write what monitoring has for the Prometheus operator")

// prometheusRule is alerts.yaml as an object of the Prometheus operator.
func prometheusRule(rules string) string {
	var text strings.Builder
	text.WriteString("# Made from alerts.yaml by `go test -run TestPrometheusRule . -monitoring.write` in ../conformance.\n" +
		"apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: redoxworker}\nspec:\n")
	_, groups, _ := strings.Cut(rules, "\ngroups:\n")
	for line := range strings.Lines("groups:\n" + groups) {
		if line != "\n" {
			line = "  " + line
		}
		text.WriteString(line)
	}
	return text.String()
}

// The alerts of the Prometheus operator are those of alerts.yaml.
func TestPrometheusRule_IsMadeOfTheAlerts(t *testing.T) {
	t.Parallel()
	const file = "../monitoring/prometheusrule.yaml"
	want := prometheusRule(readRules(t))
	if *writeMonitoring {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("deploy/monitoring/prometheusrule.yaml is not that of alerts.yaml: write it with -monitoring.write")
	}
}
