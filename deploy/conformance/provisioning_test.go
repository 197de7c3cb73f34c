package conformance

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// mounted reads a file of compose.yaml as the service finds it.
func mounted(t *testing.T, s types.ServiceConfig, target string, into any) {
	t.Helper()
	i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == target })
	if i < 0 {
		t.Fatalf("%s has no %s", s.Name, target)
	}
	text, err := os.ReadFile(s.Volumes[i].Source)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Grafana is told of the Prometheus that runs, and of the folder that the dashboard is in.
func TestCompose_Grafana(t *testing.T) {
	t.Parallel()
	project := compose(t, "me=sha256:00")
	grafana := project.Services["grafana"]
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	mounted(t, grafana, "/etc/grafana/provisioning/datasources/redoxworker.yaml", &sources)
	port := slices.ContainsFunc(project.Services["prometheus"].Command, func(arg string) bool { return arg == "--web.listen-address=:9090" })
	if d := sources.Datasources; len(d) != 1 || d[0].Type != "prometheus" || d[0].URL != "http://prometheus:9090" || !port {
		t.Errorf("data sources %v, Prometheus listens as %q", d, project.Services["prometheus"].Command)
	}
	var dashboards struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	mounted(t, grafana, "/etc/grafana/provisioning/dashboards/redoxworker.yaml", &dashboards)
	if p := dashboards.Providers; len(p) != 1 || p[0].Type != "file" {
		t.Fatalf("providers of dashboards %v", p)
	}
	mounted(t, grafana, dashboards.Providers[0].Options.Path+"/redoxworker.json", &struct{ Title string }{})
}

// The collector listens where workers send their spans, and its pipelines are made of what it has.
func TestCompose_Collector(t *testing.T) {
	t.Parallel()
	project := compose(t, "me=sha256:00")
	var c struct {
		Receivers map[string]struct {
			Protocols map[string]struct{ Endpoint string }
		}
		Exporters map[string]any
		Service   struct {
			Pipelines map[string]struct{ Receivers, Exporters []string }
		}
	}
	mounted(t, project.Services["collector"], "/etc/collector.yaml", &c)
	sends := ""
	if value := project.Services["worker-1"].Environment["OTEL_EXPORTER_OTLP_ENDPOINT"]; value != nil {
		sends = *value
	}
	listens := c.Receivers["otlp"].Protocols["http"].Endpoint
	if sends == "" || strings.TrimPrefix(sends, "http://collector") != strings.TrimPrefix(listens, "0.0.0.0") {
		t.Errorf("workers send to %s, the collector listens at %s", sends, listens)
	}
	traces := c.Service.Pipelines["traces"]
	if !slices.Equal(traces.Receivers, []string{"otlp"}) || len(traces.Exporters) == 0 {
		t.Fatalf("spans go from %v to %v", traces.Receivers, traces.Exporters)
	}
	for _, to := range traces.Exporters {
		if _, known := c.Exporters[to]; !known {
			t.Errorf("spans go to %s, which is none", to)
		}
	}
}

// Nobody gets into Grafana with a password that everybody knows: those of its image and of this file are
// none, and whoever changes something is asked for the one of the secret.
func TestCompose_GrafanaAsksForAPassword(t *testing.T) {
	t.Parallel()
	project := compose(t, "me=sha256:00")
	grafana := project.Services["grafana"]
	file := grafana.Environment["GF_SECURITY_ADMIN_PASSWORD__FILE"]
	if len(grafana.Secrets) != 1 || file == nil || *file != "/run/secrets/"+grafana.Secrets[0].Source {
		t.Fatalf("secrets %v, password in %v", grafana.Secrets, file)
	}
	secret := project.Secrets[grafana.Secrets[0].Source]
	ignored, err := os.ReadFile("../../.gitignore")
	if err != nil {
		t.Fatal(err)
	}
	if at := strings.Index(secret.File, "deploy/compose/"); at < 0 || !strings.Contains(string(ignored), "\n"+secret.File[at:]+"\n") {
		t.Errorf("%s could be committed", secret.File)
	}
	if role := grafana.Environment["GF_AUTH_ANONYMOUS_ORG_ROLE"]; role == nil || *role != "Viewer" {
		t.Errorf("who has not signed in has the role %v", role)
	}
	for name, s := range project.Services {
		for key, value := range s.Environment {
			if strings.Contains(key, "PASSWORD") && !strings.HasSuffix(key, "_FILE") && value != nil {
				t.Errorf("%s has the password %s in its environment", name, key)
			}
		}
	}
}
