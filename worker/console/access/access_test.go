package access_test

import (
	"net/http/httptest"
	"testing"

	"github.com/redoxworker/redoxworker/worker/console/access"
)

func TestRole_EachIncludesThoseBefore(t *testing.T) {
	t.Parallel()
	may := map[access.Role]int{access.Viewer: 1, access.Operator: 8, access.Revealer: 11, access.Admin: 13, "": 0, "root": 0}
	for role, want := range may {
		n := 0
		for _, a := range access.Actions() {
			if role.May(a) {
				n++
			}
		}
		if n != want {
			t.Errorf("%q may do %d things, want %d", role, n, want)
		}
		if role.May("") || role.May("fly") {
			t.Errorf("%q may do what there is not", role)
		}
	}
}

func TestUser_MayDoThatToTheseSources(t *testing.T) {
	t.Parallel()
	u := access.User{Name: "ann", Grants: []access.Grant{{Role: access.Viewer, Sources: []string{"*"}}, {Role: access.Operator, Sources: []string{"clinic-*", "["}}}}
	for _, c := range []struct {
		action access.Action
		source string
		may    bool
	}{
		{access.See, "lab", true}, {access.See, "", true}, {access.See, "_", true},
		{access.Replay, "clinic-a", true}, {access.Replay, "lab", false}, {access.Replay, "", false}, {access.Replay, "[", false},
		{access.Reveal, "clinic-a", false},
	} {
		if may := u.May(c.action, c.source); may != c.may {
			t.Errorf("%s of %q: %v", c.action, c.source, may)
		}
	}
	if u.Highest() != access.Operator || (access.User{Grants: []access.Grant{{Role: access.Admin}}}).Highest() != "" {
		t.Errorf("the highest role is %q", u.Highest())
	}
	if !u.MayAny(access.Pause) || u.MayAny(access.Audit) || (access.User{}).May(access.See, "") || (access.User{}).MayAny(access.See) {
		t.Error("who may do something at all")
	}
}

func TestFrom_IsWhoWasPutThere(t *testing.T) {
	t.Parallel()
	if _, ok := access.From(t.Context()); ok {
		t.Error("somebody is there")
	}
	if u, ok := access.From(access.With(t.Context(), access.User{Name: "ann"})); !ok || u.Name != "ann" {
		t.Errorf("%+v", u)
	}
}

func TestRelative_HoldsWhereverTheConsoleIs(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"/", "", "./"}, {"/", "dead", "dead"}, {"/dead", "dead/1", "dead/1"}, {"/dead/clinic%2Fa/1", "static/console.css", "../../static/console.css"}, {"/dead/1", "", "../"}, {"/pause", "?done=paused", "./?done=paused"}, {"/a/b", "?done=x", "../?done=x"}} {
		if got := access.Relative(httptest.NewRequest("GET", c[0], nil), c[1]); got != c[2] {
			t.Errorf("from %s to %q: %q, want %q", c[0], c[1], got, c[2])
		}
	}
}
