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
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/redoxworker/redoxworker/config"
)

func TestOverlays(t *testing.T) {
	t.Parallel()
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			t.Parallel()
			o := build(t, overlay)
			w := o.deployments["redoxworker"]
			if w == nil {
				t.Fatal("no worker")
			}
			checkSelectors(t, o)
			for name, d := range o.deployments {
				checkRestricted(t, name, d.Spec.Template.Spec)
			}
			checkProbes(t, workerOf(w.Spec.Template.Spec))
			checkConfiguration(t, o)
			for _, ns := range o.namespaces {
				if ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
					t.Errorf("namespace %s: %v", ns.Name, ns.Labels)
				}
			}
			if u := w.Spec.Strategy.RollingUpdate; u.MaxUnavailable.IntValue() != 0 || u.MaxSurge.IntValue() != 1 {
				t.Errorf("an update leaves a gap: %+v", u)
			}
		})
	}
}

// checkSelectors: each takes the pods that it is meant for, and other labels than those of a worker are
// left as they are written.
func checkSelectors(t *testing.T, o *objects) {
	t.Helper()
	for name, d := range o.deployments {
		if !selects(o, d.Spec.Selector.MatchLabels, name) {
			t.Errorf("the selector of %s takes other pods", name)
		}
	}
	if !selects(o, o.budget.Spec.Selector.MatchLabels, "redoxworker") || !selects(o, o.network.Spec.PodSelector.MatchLabels, "redoxworker") {
		t.Error("budget or network policy are not of the worker")
	}
	for name, s := range o.services {
		if !selects(o, s.Spec.Selector, name) {
			t.Errorf("the service %s takes other pods", name)
		}
	}
	if m := o.monitor; m != nil {
		if !selects(o, m.Spec.Selector.MatchLabels, "redoxworker") || *m.Spec.PodMetricsEndpoints[0].Port != "admin" {
			t.Errorf("the monitor looks elsewhere: %+v", m.Spec)
		}
	}
	var ports []int
	for _, rule := range o.network.Spec.Egress {
		for _, peer := range rule.To {
			if p := peer.PodSelector; p != nil && (len(p.MatchLabels) != 1 || p.MatchLabels["app.kubernetes.io/name"] == "redoxworker") {
				t.Errorf("egress to %v", p.MatchLabels)
			}
		}
		for _, p := range rule.Ports {
			ports = append(ports, p.Port.IntValue())
		}
	}
	if want := []int{53, 53, 4222, 443}; !slices.Equal(ports, want) {
		t.Errorf("egress to ports %v, want %v", ports, want)
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
			if e.ValueFrom != nil || regexp.MustCompile(`PASSWORD|SECRET|TOKEN|KEY`).MatchString(e.Name) {
				t.Errorf("%s %s: %s is in the environment", name, c.Name, e.Name)
			}
		}
	}
}

// workerOf is the container of the worker; a sidecar may stand before it.
func workerOf(pod core.PodSpec) core.Container {
	at := slices.IndexFunc(pod.Containers, func(c core.Container) bool { return c.Name == "redoxworker" })
	return pod.Containers[at]
}

// checkProbes: they are commands of the image, and only one that does not live is started anew.
func checkProbes(t *testing.T, c core.Container) {
	t.Helper()
	for name, p := range map[string]*core.Probe{"/redoxworker ready --live": c.LivenessProbe, "/redoxworker ready": c.ReadinessProbe} {
		if p == nil || p.Exec == nil || strings.Join(p.Exec.Command, " ") != name {
			t.Errorf("want the probe %q, have %+v", name, p)
		} else if p.TimeoutSeconds < 4 { // ready itself waits for 3
			t.Errorf("%s: it is given %d s", name, p.TimeoutSeconds)
		}
	}
	if p := c.StartupProbe; p == nil || !equal(p.Exec.Command, c.LivenessProbe.Exec.Command) {
		t.Errorf("startup %+v", p)
	}
}

// checkConfiguration loads the configuration as the pod has it, and holds its times against the pod's.
func checkConfiguration(t *testing.T, o *objects) {
	t.Helper()
	pod, dir := o.deployments["redoxworker"].Spec.Template.Spec, t.TempDir()
	var file string
	for _, e := range workerOf(pod).Env {
		if e.Name == "REDOXWORKER_CONFIG" {
			file = filepath.Join(dir, e.Value)
		}
	}
	for _, m := range workerOf(pod).VolumeMounts {
		if err := os.MkdirAll(filepath.Join(dir, m.MountPath), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	put := func(path string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, path), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var given map[string]string
	for _, v := range pod.Volumes {
		if v.ConfigMap != nil {
			given = o.configs[v.ConfigMap.Name].Data // by its name with the hash: a change is rolled out
		}
		if v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440) {
			t.Errorf("the files of the secret %s have another mode than 0440", v.Secret.SecretName)
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
	if len(o.secrets) == 0 { // production: whoever installs it brings them
		bring(t, filepath.Join(dir, "/etc/redoxworker/secrets"))
	}
	c, err := config.Load(config.Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if w := c.Warnings(); len(w) > 0 {
		t.Errorf("warnings: %v", w)
	}
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < c.Worker.DrainTimeout+15*time.Second {
		t.Errorf("it is killed after %v, and drains for %v", grace, c.Worker.DrainTimeout)
	}
}

// KEDA's own schema takes the ScaledObject, and names what it scales.
func TestScaledObject(t *testing.T) {
	t.Parallel()
	text, err := yaml.YAMLToJSON(build(t, "production").scale)
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
