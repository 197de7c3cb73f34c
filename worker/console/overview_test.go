package console

import (
	"fmt"
	"testing"

	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// What thousands of sources are refused for takes no more of the first page than their lanes do, and hides no
// pause of an operator.
func TestOverviewData_ShowsSomeOfManyPauses(t *testing.T) {
	t.Parallel()
	view := &overview.Overview{}
	for i := range 5000 {
		view.Pauses = append(view.Pauses, overview.Pause{Paused: worker.Paused{Scope: fmt.Sprint("source:clinic-", i), Operator: i == 4999}})
	}
	for all, want := range map[bool]int{false: shownPauses, true: 5000} {
		d := overviewData{Overview: view}
		d.pauses(all)
		if len(d.ShownPauses) != want || d.MorePauses != 5000-want || *d.Ends(d.ShownPauses[0]) != (ended{Source: "clinic-4999"}) || d.Ends(d.ShownPauses[1]) != nil || !d.PauseOf("clinic-4999") || d.PauseOf("clinic-1") || d.AllPaused {
			t.Errorf("all %v: %d shown, %d more, first %+v", all, len(d.ShownPauses), d.MorePauses, d.ShownPauses[0])
		}
	}
}
