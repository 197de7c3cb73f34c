// Package kubernetes_test builds deploy/kubernetes with kustomize's library and reads what comes of it
// with the types of Kubernetes, of the Prometheus operator, and by the schema of KEDA.
package kubernetes_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/redoxworker/redoxworker/auth"
)

// objects are what an overlay becomes, each strictly read as its type.
type objects struct {
	deployments map[string]*apps.Deployment
	configs     map[string]*core.ConfigMap
	secrets     map[string]*core.Secret
	namespaces  map[string]*core.Namespace
	services    map[string]*core.Service
	budget      *policy.PodDisruptionBudget
	network     *networking.NetworkPolicy
	monitor     *monitoring.PodMonitor
	scale       []byte
	yaml        []byte
}

var overlays = []string{"development", "production"}

// building is not to be done side by side: kustomize keeps its schemas in variables.
var building sync.Mutex

// build is `kustomize build` of an overlay, whose private key is made for it.
func build(t *testing.T, overlay string) *objects {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../kubernetes")); err != nil {
		t.Fatal(err)
	}
	key, err := auth.GenerateKey(auth.ES384, "dev")
	if err == nil {
		err = auth.WriteKeyFile(filepath.Join(dir, "development/key.pem"), key)
	}
	if err != nil {
		t.Fatal(err)
	}
	building.Lock()
	defer building.Unlock()
	list, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, overlay))
	if err != nil {
		t.Fatal(err)
	}
	o := &objects{deployments: map[string]*apps.Deployment{}, configs: map[string]*core.ConfigMap{}, secrets: map[string]*core.Secret{},
		namespaces: map[string]*core.Namespace{}, services: map[string]*core.Service{}}
	for _, r := range list.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		o.yaml = append(append(o.yaml, text...), "---\n"...)
		o.read(t, r.GetApiVersion()+" "+r.GetKind(), r.GetName(), text)
		if want := strings.TrimSuffix("redoxworker-"+overlay, "-production"); r.GetKind() != "Namespace" && r.GetNamespace() != want {
			t.Errorf("%s %s is in the namespace %q, want %q", r.GetKind(), r.GetName(), r.GetNamespace(), want)
		}
	}
	return o
}

// read decodes an object strictly: a field that its type does not have, or has twice, is an error.
func (o *objects) read(t *testing.T, kind, name string, text []byte) {
	t.Helper()
	decode := func(into any) {
		t.Helper()
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Fatalf("%s %s: %v", kind, name, err)
		}
	}
	switch kind {
	case "apps/v1 Deployment":
		o.deployments[name] = new(apps.Deployment)
		decode(o.deployments[name])
	case "v1 ConfigMap":
		c := new(core.ConfigMap)
		decode(c)
		o.configs[c.Name] = c
	case "v1 Secret":
		o.secrets[name] = new(core.Secret)
		decode(o.secrets[name])
	case "v1 Namespace":
		o.namespaces[name] = new(core.Namespace)
		decode(o.namespaces[name])
	case "v1 Service":
		o.services[name] = new(core.Service)
		decode(o.services[name])
	case "v1 ServiceAccount":
		decode(new(core.ServiceAccount))
	case "policy/v1 PodDisruptionBudget":
		o.budget = new(policy.PodDisruptionBudget)
		decode(o.budget)
	case "networking.k8s.io/v1 NetworkPolicy":
		o.network = new(networking.NetworkPolicy)
		decode(o.network)
	case "monitoring.coreos.com/v1 PodMonitor":
		o.monitor = new(monitoring.PodMonitor)
		decode(o.monitor)
	case "keda.sh/v1alpha1 ScaledObject":
		o.scale = text
	default:
		t.Errorf("%s %s: nothing here reads that", kind, name)
	}
}

// selects reports whether a selector takes the pods of a deployment, and no other of the overlay.
func selects(o *objects, labels map[string]string, want string) bool {
	for name, d := range o.deployments {
		taken := len(labels) > 0
		for k, v := range labels {
			taken = taken && d.Spec.Template.Labels[k] == v
		}
		if taken != (name == want) {
			return false
		}
	}
	return true
}

func equal(a, b any) bool { return reflect.DeepEqual(a, b) }
