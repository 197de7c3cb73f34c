package kubernetes_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/redoxworker/redoxworker/config"
)

func TestOverlays(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*objects{"development": build(t, "development"), "production": build(t, "production", "../relay")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, o, "redoxworker", true)
			for _, ns := range o.namespaces {
				if ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
					t.Errorf("namespace %s: %v", ns.Name, ns.Labels)
				}
			}
			if want := map[string]int{"development": 2, "production": 3}[name]; len(o.deployments) != want {
				t.Errorf("%d deployments, want %d", len(o.deployments), want)
			}
		})
	}
}

// check holds what is installed under a name against what it must be. network: the pods are closed.
func check(t *testing.T, o *objects, name string, network bool) {
	t.Helper()
	w := o.deployments[name]
	if w == nil {
		t.Fatal("no worker")
	}
	checkSelectors(t, o, name, network)
	for name, d := range o.deployments {
		checkRestricted(t, name, d.Spec.Template.Spec)
	}
	checkProbes(t, containerOf(w, "redoxworker"), "")
	if console := o.deployments[name+"-console"]; console != nil {
		checkProbes(t, containerOf(console, "console"), " --address=127.0.0.1:8470")
		checkConfiguration(t, o, console, config.PartKeys|config.PartSources|config.PartOrderSecret)
	}
	if relay := o.deployments[name+"-relay"]; relay != nil {
		checkConfiguration(t, o, relay, config.PartKeys|config.PartSources)
	}
	c := checkConfiguration(t, o, w, 0)
	if grace := time.Duration(*w.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second; grace < c.Worker.DrainTimeout+15*time.Second {
		t.Errorf("it is killed after %v, and drains for %v", grace, c.Worker.DrainTimeout)
	}
	if c.Console.Listen != "" {
		t.Errorf("workers serve the console at %s", c.Console.Listen)
	}
	for _, d := range o.deployments {
		if u := d.Spec.Strategy.RollingUpdate; u != nil && (u.MaxUnavailable.IntValue() != 0 || u.MaxSurge.IntValue() != 1) {
			t.Errorf("an update of %s leaves a gap: %+v", d.Name, u)
		}
	}
	if scaled := o.scale != nil; scaled && w.Spec.Replicas != nil {
		t.Errorf("whoever applies it sets back to %d what the scaler said", *w.Spec.Replicas)
	}
}

// checkSelectors: each takes the pods that it is meant for, and other labels than those of a worker are
// left as they are written.
func checkSelectors(t *testing.T, o *objects, name string, network bool) {
	t.Helper()
	ports := map[string][]int{name: {53, 53, 4222, 443}, name + "-console": {53, 53, 4222}, name + "-relay": {53, 53, 4222, 5432, 3306}}
	for of, d := range o.deployments {
		if !selects(o, d.Spec.Selector.MatchLabels, of) {
			t.Errorf("the selector of %s takes other pods", of)
		}
		if ports[of] == nil { // the server of development
			continue
		}
		if b := o.budgets[of]; b == nil || !selects(o, b.Spec.Selector.MatchLabels, of) || b.Spec.MaxUnavailable.IntValue() != 1 {
			t.Errorf("%s: budget %+v", of, b)
		}
		for _, s := range d.Spec.Template.Spec.TopologySpreadConstraints {
			if !selects(o, s.LabelSelector.MatchLabels, of) {
				t.Errorf("%s spreads other pods", of)
			}
		}
		if n := o.networks[of]; network {
			if n == nil || !selects(o, n.Spec.PodSelector.MatchLabels, of) || len(n.Spec.PolicyTypes) != 2 {
				t.Fatalf("%s: network policy %+v", of, n)
			}
			checkEgress(t, n.Spec.Egress, ports[of])
			checkIngress(t, n.Spec.Ingress, d)
		}
	}
	for of, s := range o.services {
		if !selects(o, s.Spec.Selector, of) {
			t.Errorf("the service %s takes other pods", of)
		}
	}
	if m := o.monitor; m != nil {
		if !selects(o, m.Spec.Selector.MatchLabels, name) || *m.Spec.PodMetricsEndpoints[0].Port != "admin" {
			t.Errorf("the monitor looks elsewhere: %+v", m.Spec)
		}
	}
}

func checkEgress(t *testing.T, rules []networking.NetworkPolicyEgressRule, want []int) {
	t.Helper()
	var ports []int
	for _, rule := range rules {
		for _, peer := range rule.To {
			if p := peer.PodSelector; p != nil && (len(p.MatchLabels) != 1 || strings.Contains(p.MatchLabels["app.kubernetes.io/name"], "redoxworker")) {
				t.Errorf("egress to %v", p.MatchLabels)
			}
		}
		for _, p := range rule.Ports {
			ports = append(ports, p.Port.IntValue())
		}
	}
	if !slices.Equal(ports, want) {
		t.Errorf("egress to ports %v, want %v", ports, want)
	}
}

// checkIngress: from one namespace, to a port that the container has.
func checkIngress(t *testing.T, rules []networking.NetworkPolicyIngressRule, d *apps.Deployment) {
	t.Helper()
	var ports []string
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, p := range c.Ports {
			ports = append(ports, p.Name)
		}
	}
	var open []string
	for _, rule := range rules {
		if len(rule.From) != 1 || rule.From[0].NamespaceSelector == nil || len(rule.From[0].NamespaceSelector.MatchLabels) == 0 {
			t.Errorf("%s takes requests from %+v", d.Name, rule.From)
		}
		for _, p := range rule.Ports {
			open = append(open, p.Port.StrVal)
		}
	}
	if !slices.Equal(open, ports) {
		t.Errorf("%s has the ports %v, and takes requests at %v", d.Name, ports, open)
	}
}

// checkRestricted holds a pod against the profile "restricted" of Kubernetes, and the user of the image.
func checkRestricted(t *testing.T, name string, pod core.PodSpec) {
	t.Helper()
	s := pod.SecurityContext
	if s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Fatalf("%s: %+v", name, s)
	}
	image, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if user := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindSubmatch(image); user == nil || string(user[1]) != "65532" || *s.RunAsUser != 65532 || *s.FSGroup != 65532 {
		t.Errorf("%s: user %d, group of files %d; the image's is %s", name, *s.RunAsUser, *s.FSGroup, user)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.HostNetwork || pod.HostPID {
		t.Errorf("%s has a token of the cluster, or is part of the host", name)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !equal(s.Capabilities.Drop, []core.Capability{"ALL"}) || s.Capabilities.Add != nil {
			t.Errorf("%s %s: %+v", name, c.Name, s)
		}
		if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || !c.Resources.Limits.Cpu().IsZero() {
			t.Errorf("%s %s: resources %+v", name, c.Name, c.Resources)
		}
		if _, tag, _ := strings.Cut(c.Image[strings.LastIndexByte(c.Image, '/')+1:], ":"); tag == "" || tag == "latest" {
			t.Errorf("%s %s: image %s", name, c.Name, c.Image)
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil || regexp.MustCompile(`PASSWORD|SECRET|TOKEN|KEY|DSN`).MatchString(e.Name) && !strings.HasSuffix(e.Name, "_FILE") {
				t.Errorf("%s %s: %s is in the environment", name, c.Name, e.Name)
			}
		}
	}
}

// containerOf is that of a name; a sidecar may stand before it.
func containerOf(d *apps.Deployment, name string) core.Container {
	all := d.Spec.Template.Spec.Containers
	return all[slices.IndexFunc(all, func(c core.Container) bool { return c.Name == name })]
}

// checkProbes: they are commands of the image, and only one that does not live is started anew.
func checkProbes(t *testing.T, c core.Container, flags string) {
	t.Helper()
	for want, p := range map[string]*core.Probe{"/redoxworker ready" + flags + " --live": c.LivenessProbe, "/redoxworker ready" + flags: c.ReadinessProbe} {
		if p == nil || p.Exec == nil || strings.Join(p.Exec.Command, " ") != want {
			t.Errorf("want the probe %q, have %+v", want, p)
		} else if p.TimeoutSeconds < 4 { // ready itself waits for 3
			t.Errorf("%s: it is given %d s", want, p.TimeoutSeconds)
		}
	}
	if p := c.StartupProbe; p == nil || !equal(p.Exec.Command, c.LivenessProbe.Exec.Command) {
		t.Errorf("startup %+v", p)
	}
}

// checkConfiguration loads the configuration as the pod has it: its files and its environment.
func checkConfiguration(t *testing.T, o *objects, d *apps.Deployment, skip config.Parts) *config.Config {
	t.Helper()
	pod, dir := d.Spec.Template.Spec, t.TempDir()
	c := pod.Containers[slices.IndexFunc(pod.Containers, func(c core.Container) bool { return len(c.VolumeMounts) > 0 })]
	at := func(path string) string { return strings.ReplaceAll(path, "/etc/redoxworker", dir) }
	put := func(path string, text []byte) {
		if err := os.WriteFile(at(path), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var environ []string
	for _, e := range c.Env {
		environ = append(environ, e.Name+"="+at(e.Value))
	}
	for _, m := range c.VolumeMounts {
		if err := os.MkdirAll(at(m.MountPath), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var given map[string]string
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil && o.configs[v.ConfigMap.Name] != nil {
			given = o.configs[v.ConfigMap.Name].Data // by its name with the hash: a change is rolled out
		}
		if v.Secret == nil {
			continue
		}
		if v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440 {
			t.Errorf("the files of the secret %s have another mode than 0440", v.Secret.SecretName)
		}
		if len(o.secrets) == 0 { // whoever installs it brings them
			bring(t, at("/etc/redoxworker/secrets"), c.Name)
		}
	}
	if len(given) == 0 {
		t.Fatal("the pod names a configuration that is not there")
	}
	for name, text := range given {
		put("/etc/redoxworker/config/"+name, []byte(text))
	}
	for _, s := range o.secrets {
		for name, text := range s.Data {
			put("/etc/redoxworker/secrets/"+name, text)
		}
	}
	loaded, err := config.Load(config.Options{Environ: environ, Skip: skip})
	if err != nil {
		t.Fatal(err)
	}
	if w := loaded.Warnings(); len(w) > 0 {
		t.Errorf("%s: warnings: %v", d.Name, w)
	}
	return loaded
}

// What is printed for NACK can be applied with the overlay: its job has the image and the namespace of the
// overlay, and is as closed as every pod.
func TestNACK_WithTheOverlay(t *testing.T) {
	t.Parallel()
	o := build(t, "production", "nack.yaml")
	if len(o.jobs) != 1 || len(o.streams) != 8 {
		t.Fatalf("%d jobs, streams %v", len(o.jobs), o.streams)
	}
	for name, job := range o.jobs {
		checkRestricted(t, name, job.Spec.Template.Spec)
	}
}

// KEDA's own schema takes the ScaledObject, and names what it scales.
func TestScaledObject(t *testing.T) {
	t.Parallel()
	checkScale(t, build(t, "production").scale)
	checkScale(t, render(t, "east", everything).scale)
}

func checkScale(t *testing.T, scale []byte) {
	t.Helper()
	text, err := yaml.YAMLToJSON(scale)
	if err != nil {
		t.Fatal(err)
	}
	var object any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("keda.json", kedaSchema(t)); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("keda.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(object); err != nil {
		t.Error(err)
	}
	spec := object.(map[string]any)["spec"].(map[string]any)
	spec["triggerz"] = spec["triggers"]
	if schema.Validate(object) == nil {
		t.Error("a field that KEDA does not know is taken")
	}
}

// keda is the version whose schema is asked for; its module has it.
const keda = "github.com/kedacore/keda/v2@v2.21.0"

// kedaSchema is that of a ScaledObject, in which no other fields are allowed than those it names.
func kedaSchema(t *testing.T) any {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", keda).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(module.Dir, "config/crd/bases/keda.sh_scaledobjects.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Schema struct {
					OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
				} `json:"schema"`
			} `json:"versions"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &crd); err != nil || len(crd.Spec.Versions) != 1 {
		t.Fatalf("%v, %d versions", err, len(crd.Spec.Versions))
	}
	schema := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
	closed(schema)
	return schema
}

// closed forbids fields that a schema does not name.
func closed(schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	if len(properties) > 0 {
		schema["additionalProperties"] = false
	}
	for _, p := range properties {
		if p, ok := p.(map[string]any); ok {
			closed(p)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		closed(items)
	}
}
