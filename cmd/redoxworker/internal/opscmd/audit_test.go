package opscmd

import (
	"reflect"
	"regexp"
	"slices"
	"testing"

	"github.com/redoxworker/redoxworker/worker/audit"
)

// The help of audit ls names every action that there is, and no other.
func TestAudit_HelpNamesEveryAction(t *testing.T) {
	t.Parallel()
	field, _ := reflect.TypeFor[auditLsCommand]().FieldByName("Action")
	named := regexp.MustCompile(`[a-z]+[.-]?[a-z]+`).FindAllString(regexp.MustCompile(`^Only | or `).ReplaceAllString(field.Tag.Get("help"), " "), -1)
	for _, a := range audit.Actions() {
		if !slices.Contains(named, string(a)) {
			t.Errorf("%s is not named", a)
		}
	}
	if len(named) != len(audit.Actions()) {
		t.Errorf("%d are named of %d: %q", len(named), len(audit.Actions()), named)
	}
}
