package lint

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	t.Parallel()
	some := map[string]string{
		"schemas/Clinical Summary/Visit-Push.JSON": "{}", "sso/sign-on.json": "{}", "order/new.json": "{}", "a/b/c/d/new.json": "{}",
		"package.json": "{}", ".github/x.json": "{}", "node_modules/x/y.json": "{}", "order/README.md": "", "far/a/b/c/d/new.json": "{}",
	}
	dir := files(t, some)
	if err := os.Symlink("order", filepath.Join(dir, "orders")); err != nil { // as a mount of Kubernetes has them
		t.Fatal(err)
	}
	if err := os.Symlink(".", filepath.Join(dir, "order/loop")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	l, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	for e, path := range map[event]string{
		{"clinicalsummary", "visitpush"}: "schemas/Clinical Summary/Visit-Push.JSON", {"sso", "signon"}: "sso/sign-on.json",
		{"order", "new"}: "order/new.json", {"orders", "new"}: "orders/new.json", {"d", "new"}: "a/b/c/d/new.json", {"loop", "new"}: "",
	} {
		if s := l.schemas[e]; path != "" && (s == nil || s.path != path) {
			t.Errorf("%v: %+v", e, s)
		}
	}
	for _, e := range []event{{"", "package"}, {"github", "x"}, {"x", "y"}} {
		if l.schemas[e] != nil {
			t.Errorf("%v", e)
		}
	}
	if l.Events() < 5 {
		t.Error(l.Events())
	}
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 100 {
		many["order/"+strconv.Itoa(i)+".json"] = "{}"
	}
	file := filepath.Join(files(t, map[string]string{"x": ""}), "x")
	for name, tc := range map[string]struct{ dir, want string }{
		"nothing":      {"", "no such file"},
		"not there":    {filepath.Join(t.TempDir(), "none"), "no such file"},
		"a file":       {file, "not a directory"},
		"none in it":   {files(t, map[string]string{"new.json": "{}", "a/x.txt": ""}), "holds no schema"},
		"two the same": {files(t, map[string]string{"v1/order/new.json": "{}", "v2/order/new.json": "{}"}), "are of the same event"},
	} {
		if _, err := New(tc.dir); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l, err := New(files(t, many)); err != nil || l.Events() != 100 {
		t.Error(err)
	}
}
