package kubernetes_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/redoxworker/redoxworker/config"
)

// TestMain leaves unsaid that files of the chart are links.
func TestMain(m *testing.M) {
	slog.SetLogLoggerLevel(slog.LevelWarn)
	os.Exit(m.Run())
}

const chartDir = "../../helm/redoxworker"

// values reads what somebody puts over those of the chart.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	all := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// install is `helm template` with values; those that are given first go before the others.
func install(t *testing.T, release string, texts ...string) (files map[string]string, err error) {
	t.Helper()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]any{}
	for _, text := range texts {
		given = util.CoalesceTables(given, values(t, text))
	}
	all, err := util.ToRenderValues(chart, given, common.ReleaseOptions{Name: release, Namespace: "redoxworker", Revision: 1, IsInstall: true}, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(chart, all)
}

// render is the chart as Kubernetes has it.
func render(t *testing.T, release string, texts ...string) *objects {
	t.Helper()
	files, err := install(t, release, texts...)
	if err != nil {
		t.Fatal(err)
	}
	o, seen := newObjects(), map[string]bool{}
	for file, text := range files {
		if filepath.Ext(file) != ".yaml" {
			continue
		}
		for _, one := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
			var of struct {
				APIVersion, Kind string
				Metadata         struct {
					Name, Namespace string
					Labels          map[string]string
				}
			}
			if err := yaml.Unmarshal([]byte(one), &of); err != nil {
				t.Fatalf("%s: %v\n%s", file, err, one)
			}
			if of.Kind == "" {
				continue
			}
			what := of.APIVersion + " " + of.Kind
			if seen[what+of.Metadata.Name] || of.Metadata.Namespace != "redoxworker" || of.Metadata.Labels["app.kubernetes.io/instance"] != release {
				t.Errorf("%s %s is there twice, elsewhere, or without the labels of Helm: %v", what, of.Metadata.Name, of.Metadata)
			}
			seen[what+of.Metadata.Name] = true
			o.read(t, what, of.Metadata.Name, []byte(one))
		}
	}
	return o
}

// sample are the keys and sources of production/redoxworker.yaml.
const sample = `
config:
  keys: {main: {client_id: 00000000-0000-0000-0000-000000000000, kid: redoxworker-1, private_key_file: ../secrets/redox-main-key}}
  sources: {clinic-a: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: main, environment: production}}
`

// everything is what the chart can do, with another name.
const everything = sample + `
image: {digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
imagePullSecrets: [{name: registry}]
podLabels: {team: integration}
podAnnotations: {example.org/a: b}
nodeSelector: {disk: ssd}
tolerations: [{key: a, operator: Exists}]
priorityClassName: high
relay: {enabled: true, driver: mysql}
podMonitor: {labels: {release: prometheus}}
`

// nothing is all that can be left out.
const nothing = sample + `
scaling: {enabled: false}
console: {enabled: false}
networkPolicy: {enabled: false}
podMonitor: {enabled: false}
prometheusRule: {enabled: false}
dashboard: {enabled: false}
`

// mine is what somebody sets who installs it.
const mine = `
image: {repository: "registry.internal:5000/redoxworker", tag: v1.2.3}
config:
  nats: {url: "tls://nats.messaging.svc:4222"}
  keys: {main: {client_id: 11111111-0000-0000-0000-000000000000, kid: k2, private_key_file: ../secrets/redox-main-key}}
  sources: {clinic-b: {id: 3f7a1c52-9d0e-4b8a-a6c4-5e2f0d9b7c11, key: main, environment: production}}
  queue: {max_bytes: 123456789012}
worker: {secretName: from-vault}
networkPolicy: {nats: {namespace: messaging}}
`

// The chart passes for what the overlays must be, whatever is set, and helm lint says nothing against it.
func TestChart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		release, name, values string
		deployments           int
	}{
		"defaults": {"redoxworker", "redoxworker", sample, 2}, "production": {"redoxworker", "redoxworker", mine, 2},
		"everything": {"east", "east-redoxworker", everything, 3}, "nothing": {"redoxworker", "redoxworker", nothing, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := render(t, c.release, c.values)
			if len(o.deployments) != c.deployments {
				t.Errorf("%d deployments, want %d", len(o.deployments), c.deployments)
			}
			check(t, o, c.name, name != "nothing")
			for _, m := range lint.RunAll(chartDir, values(t, c.values), "redoxworker").Messages {
				if m.Severity >= support.WarningSev {
					t.Error(m)
				}
			}
		})
	}
}

// What is configured can be reached: the provider of sign-in, the database of workers that relay, the collector
// of traces; and nothing is opened without the network policy.
func TestChart_OpensWhatItIsTold(t *testing.T) {
	t.Parallel()
	const told = `
config: {console: {auth: oidc}, outbox: {driver: postgres}}
env: {OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector.monitoring:4318"}
relay: {enabled: true, goMemLimit: 1GiB, resources: {limits: {memory: 1.5Gi}}}
networkPolicy:
  egress:
    worker: [{ports: [{port: 5433}]}, {to: [{namespaceSelector: {}}], ports: [{port: 4318}]}]
    console: [{ports: [{port: 8443}]}]
    relay: [{ports: [{port: 4223}]}]
`
	o := render(t, "redoxworker", told, sample)
	for name, want := range map[string][]int{"redoxworker": {53, 53, 4222, 443, 5433, 4318}, "redoxworker-console": {53, 53, 4222, 8443}, "redoxworker-relay": {53, 53, 4222, 5432, 3306, 4223}} {
		checkEgress(t, o.networks[name].Spec.Egress, want)
		c := o.deployments[name].Spec.Template.Spec.Containers[0]
		if !slices.Contains(c.Env, core.EnvVar{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://collector.monitoring:4318"}) {
			t.Errorf("%s has the environment %v", name, c.Env)
		}
	}
	if _, err := install(t, "redoxworker", nothing, "config: {outbox: {driver: postgres}}"); err != nil {
		t.Error(err)
	}
}

// Keys and sources are those that somebody sets who installs it, and no others: an example that was left among
// them would have messages sent under its Source ID.
func TestChart_HasNoSourceOfItsOwn(t *testing.T) {
	t.Parallel()
	o := render(t, "redoxworker", mine)
	c := checkConfiguration(t, o, o.deployments["redoxworker"], 0)
	if len(c.Sources) != 1 || c.Sources["clinic-b"].Key != "main" || len(c.Keys) != 1 {
		t.Errorf("sources %v, keys %v", c.Sources, c.Keys)
	}
}

// With its defaults the chart is kubernetes/production, with its relay kubernetes/relay too.
func TestChart_IsTheOverlay(t *testing.T) {
	t.Parallel()
	chart, overlay := render(t, "redoxworker", "image: {tag: v0.1.0}\nrelay: {enabled: true}", sample), build(t, "production", "../relay")
	overlay.namespaces = map[string]*core.Namespace{} // helm install --create-namespace makes it
	plain(t, chart)
	plain(t, overlay)
	a, b := reflect.ValueOf(chart).Elem(), reflect.ValueOf(overlay).Elem()
	for i := range a.NumField() {
		name, inChart, inOverlay := a.Type().Field(i).Name, asYAML(t, a.Field(i)), asYAML(t, b.Field(i))
		if inChart != inOverlay {
			t.Errorf("%s differ.\nthe chart:\n%s\nthe overlay:\n%s", name, inChart, inOverlay)
		}
		empty := inChart == "null\n" || inChart == "{}\n" || inChart == "[]\n"
		if none := []string{"secrets", "namespaces", "jobs", "streams"}; empty != slices.Contains(none, name) {
			t.Errorf("of %s is compared:\n%s", name, inChart)
		}
	}
}

// plain leaves what tells a chart from an overlay: labels of Helm, names with a hash, and text as what it
// says.
func plain(t *testing.T, o *objects) {
	t.Helper()
	for name, c := range o.configs {
		delete(o.configs, name)
		name = hashed.ReplaceAllString(name, "")
		c.Name, c.Labels = name, nil
		for file, text := range c.Data {
			var value any
			if err := yaml.Unmarshal([]byte(text), &value); err != nil {
				t.Fatal(err)
			}
			again, err := yaml.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			c.Data[file] = string(again)
		}
		o.configs[name] = c
	}
	for _, d := range o.deployments {
		d.Labels = nil
		delete(d.Spec.Template.Annotations, "checksum/config")
		for i := range d.Spec.Template.Spec.Containers {
			d.Spec.Template.Spec.Containers[i].ImagePullPolicy = ""
		}
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.ConfigMap != nil {
				v.ConfigMap.Name = hashed.ReplaceAllString(v.ConfigMap.Name, "")
			}
		}
	}
	for _, x := range o.services {
		x.Labels = nil
	}
	for _, x := range o.accounts {
		x.Labels = nil
	}
	for _, x := range o.budgets {
		x.Labels = nil
	}
	for _, x := range o.networks {
		x.Labels = nil
	}
	o.monitor.Labels, o.rule.Labels = nil, nil
	scale := values(t, string(o.scale))
	delete(scale["metadata"].(map[string]any), "labels")
	text, err := yaml.Marshal(scale)
	if err != nil {
		t.Fatal(err)
	}
	o.scale = text
}

var hashed = regexp.MustCompile(`-[a-z0-9]{10}$`)

func asYAML(t *testing.T, v reflect.Value) string {
	t.Helper()
	if v.Type() == reflect.TypeFor[[]byte]() {
		return string(v.Bytes())
	}
	v = reflect.NewAt(v.Type(), v.Addr().UnsafePointer()).Elem()
	text, err := yaml.Marshal(v.Interface())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What is mistyped or unwise is refused, and the text says what and where.
func TestChart_RefusesBadValues(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"wroker: {replicas: 3}":                                "additional properties 'wroker' not allowed",
		"worker: {replicas: 0}":                                "at '/worker/replicas': minimum: got 0, want 1",
		"worker: {replicas: three}":                            "at '/worker/replicas': got string, want integer",
		"worker: {resources: {limits: {memory: null}}}":        "at '/worker/resources/limits': missing property 'memory'",
		"worker: {terminationGracePeriodSeconds: 30}":          "at '/worker/terminationGracePeriodSeconds': minimum: got 30, want 45",
		"image: {tag: latest}":                                 "at '/image/tag'",
		"image: {repository: \"a/b:v1\"}":                      "at '/image/repository'",
		"relay: {driver: oracle}":                              "at '/relay/driver': value must be one of 'postgres', 'mysql'",
		"networkPolicy: {redox: {cidr: api.redoxengine.com}}":  "at '/networkPolicy/redox/cidr'",
		"config: {keys: null}":                                 "at '/config/keys': minProperties: got 0, want 1",
		"scaling: {minReplicas: 7}":                            "scaling.maxReplicas (6) is less than scaling.minReplicas (7)",
		"config: {nats: {password: s3cret}}":                   "config.nats.password would be in a ConfigMap, for all to read: put it into a file of the secret, and set config.nats.password_file to its path",
		"config: {nats: {url: \"nats://u:s3cret@nats:4222\"}}": "config.nats.url holds a password",
		"config: {nats: {password: 12345678}}":                 "config.nats.password would be in a ConfigMap",
		"config: {nats: {token: [s3cret]}}":                    "config.nats.token would be in a ConfigMap",
		"config: {nats.Password: s3cret}":                      "config.nats.Password would be in a ConfigMap",
		"config: {nats: {url: \"u:s3cret@nats:4222\"}}":        "config.nats.url holds a password",
		"config: {a: [{b: \"http://s3cret@a\"}]}":              "config.a.b holds a password",
		"config: {worker: {drain_timeout: 2.0m}}":              "is less than config.worker.drain_timeout (2.0m) and 15 s",
		"config: {worker: {drain_timeout: 120000ms}}":          "is less than config.worker.drain_timeout (120000ms) and 15 s",
		"config: {console: {auth: oidc}}":                      "config.console.auth wants what the network policy lets no console reach: add its address to networkPolicy.egress.console",
		"config: {outbox: {driver: mysql}}":                    "add its address to networkPolicy.egress.worker",
		"env: {OTEL_EXPORTER_OTLP_HEADERS: a}":                 "at '/env/",
		"env: {REDOXWORKER_WORKER_DRAIN_TIMEOUT: 1h}":          "at '/env/",
		"env: {HTTPS_PROXY: \"http://u:s3cret@proxy\"}":        "env.HTTPS_PROXY holds a password",
		"podLabels: {app.kubernetes.io/name: a}":               "at '/podLabels/",
		"worker: {resources: {limits: {memory: 1G}}}":          "worker.goMemLimit (1150MiB) is not below worker.resources.limits.memory (1G): set nine tenths of it",
		"console: {resources: {limits: {memory: 482344960}}}":  "console.goMemLimit (460MiB) is not below",
		"relay: {enabled: true, goMemLimit: 1GiB}":             "relay.goMemLimit (1GiB) is not below",
		"config: {worker: {drain_timeout: 2m}}":                "worker.terminationGracePeriodSeconds (60) is less than config.worker.drain_timeout (2m) and 15 s",
	} {
		_, err := install(t, "redoxworker", text, sample)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// Whatever of redoxworker.yaml is a secret the chart takes as a file alone, and no address with a password.
func TestChart_RefusesEverySecret(t *testing.T) {
	t.Parallel()
	for of, c := range map[reflect.Type]struct {
		text, want string
		some       int
	}{
		reflect.TypeFor[config.Secret](): {"s3cret", " would be in a ConfigMap", 12},
		reflect.TypeFor[config.URL]():    {"http://u:s3cret@a", " holds a password", 3},
	} {
		paths := keysOf(of, reflect.TypeFor[config.Config](), nil)
		if len(paths) < c.some {
			t.Fatalf("the configuration has of %v: %v", of, paths)
		}
		for _, path := range paths {
			text := c.text
			for _, key := range slices.Backward(path) {
				text = "{" + key + ": " + text + "}"
			}
			_, err := install(t, "redoxworker", "config: "+text, sample)
			if want := "config." + strings.Join(path, "."); err == nil || !strings.Contains(err.Error(), want+c.want) {
				t.Errorf("%s: %v", want, err)
			}
		}
	}
}

// keysOf are the paths of a configuration's values of a type.
func keysOf(wanted, of reflect.Type, at []string) (paths [][]string) {
	for i := range of.NumField() {
		f := of.Field(i)
		path := append(slices.Clone(at), f.Tag.Get("key"))
		kind := f.Type
		if kind.Kind() == reflect.Map {
			kind, path = kind.Elem(), append(path, "main")
		}
		switch {
		case f.Tag.Get("key") == "":
		case f.Type == wanted:
			paths = append(paths, path)
		case kind.Kind() == reflect.Struct:
			paths = append(paths, keysOf(wanted, kind, path)...)
		}
	}
	return paths
}

// The files of the chart are those of monitoring, and whoever packs it packs what they say.
func TestChart_HasTheFilesOfMonitoring(t *testing.T) {
	t.Parallel()
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alerts.yaml", "dashboard.json"} {
		want, err := os.ReadFile("../../monitoring/" + name)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(chart.Files, func(f *common.File) bool { return f.Name == "files/"+name })
		if at < 0 || string(chart.Files[at].Data) != string(want) {
			t.Errorf("files/%s is another", name)
		}
	}
}
