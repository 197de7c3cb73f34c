// Package kubernetes_test builds deploy/kubernetes with kustomize's library and deploy/helm with Helm's, and
// reads what comes of them with the types of Kubernetes, of the Prometheus operator, and by the schema of
// KEDA.
package kubernetes_test

import (
	"reflect"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

// objects are what an overlay or the chart becomes, each strictly read as its type, by name.
type objects struct {
	deployments map[string]*apps.Deployment
	configs     map[string]*core.ConfigMap
	secrets     map[string]*core.Secret
	namespaces  map[string]*core.Namespace
	services    map[string]*core.Service
	accounts    map[string]*core.ServiceAccount
	budgets     map[string]*policy.PodDisruptionBudget
	networks    map[string]*networking.NetworkPolicy
	monitor     *monitoring.PodMonitor
	rule        *monitoring.PrometheusRule
	scale       []byte
	jobs        map[string]*batch.Job
	streams     []string // of NACK
}

func newObjects() *objects {
	return &objects{deployments: map[string]*apps.Deployment{}, configs: map[string]*core.ConfigMap{}, secrets: map[string]*core.Secret{},
		namespaces: map[string]*core.Namespace{}, services: map[string]*core.Service{}, accounts: map[string]*core.ServiceAccount{},
		budgets: map[string]*policy.PodDisruptionBudget{}, networks: map[string]*networking.NetworkPolicy{}, jobs: map[string]*batch.Job{}}
}

// decode reads an object strictly: a field that its type does not have, or has twice, is an error.
func decode[T any](t *testing.T, kind string, text []byte) *T {
	t.Helper()
	into := new(T)
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v\n%s", kind, err, text)
	}
	return into
}

func (o *objects) read(t *testing.T, kind, name string, text []byte) {
	t.Helper()
	what := kind + " " + name
	switch kind {
	case "apps/v1 Deployment":
		o.deployments[name] = decode[apps.Deployment](t, what, text)
	case "v1 ConfigMap":
		o.configs[name] = decode[core.ConfigMap](t, what, text)
	case "v1 Secret":
		o.secrets[name] = decode[core.Secret](t, what, text)
	case "v1 Namespace":
		o.namespaces[name] = decode[core.Namespace](t, what, text)
	case "v1 Service":
		o.services[name] = decode[core.Service](t, what, text)
	case "v1 ServiceAccount":
		o.accounts[name] = decode[core.ServiceAccount](t, what, text)
	case "policy/v1 PodDisruptionBudget":
		o.budgets[name] = decode[policy.PodDisruptionBudget](t, what, text)
	case "networking.k8s.io/v1 NetworkPolicy":
		o.networks[name] = decode[networking.NetworkPolicy](t, what, text)
	case "monitoring.coreos.com/v1 PodMonitor":
		o.monitor = decode[monitoring.PodMonitor](t, what, text)
	case "monitoring.coreos.com/v1 PrometheusRule":
		o.rule = decode[monitoring.PrometheusRule](t, what, text)
	case "batch/v1 Job":
		o.jobs[name] = decode[batch.Job](t, what, text)
	case "jetstream.nats.io/v1beta2 Stream":
		o.streams = append(o.streams, name)
	case "keda.sh/v1alpha1 ScaledObject":
		o.scale = text
	default:
		t.Errorf("%s: nothing here reads that", what)
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
