package kubernetes_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/redoxworker/redoxworker/auth"
)

var overlays = []string{"development", "production"}

// building is not to be done side by side: kustomize keeps its schemas in variables.
var building sync.Mutex

// build is `kustomize build` of an overlay, whose private key is made for it; with the resources that
// somebody adds to it: folders, and files of deploy/nats.
func build(t *testing.T, overlay string, added ...string) *objects {
	t.Helper()
	dir := t.TempDir()
	for _, folder := range []string{"kubernetes", "monitoring"} {
		if err := os.CopyFS(filepath.Join(dir, folder), os.DirFS("../../"+folder)); err != nil {
			t.Fatal(err)
		}
	}
	key, err := auth.GenerateKey(auth.ES384, "dev")
	if err == nil {
		err = auth.WriteKeyFile(filepath.Join(dir, "kubernetes/development/key.pem"), key)
	}
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "kubernetes", overlay)
	text, err := os.ReadFile(filepath.Join(at, "kustomization.yaml"))
	for _, resource := range added {
		if filepath.Ext(resource) == ".yaml" && err == nil {
			err = os.CopyFS(at+"/nats", os.DirFS("../../nats"))
			resource = "nats/" + resource
		}
		text = []byte(strings.Replace(string(text), "resources:\n", "resources:\n  - "+resource+"\n", 1))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(at, "kustomization.yaml"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	building.Lock()
	defer building.Unlock()
	list, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), at)
	if err != nil {
		t.Fatal(err)
	}
	o := newObjects()
	for _, r := range list.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		o.read(t, r.GetApiVersion()+" "+r.GetKind(), r.GetName(), text)
		if want := strings.TrimSuffix("redoxworker-"+overlay, "-production"); r.GetKind() != "Namespace" && r.GetNamespace() != want {
			t.Errorf("%s %s is in the namespace %q, want %q", r.GetKind(), r.GetName(), r.GetNamespace(), want)
		}
	}
	return o
}
