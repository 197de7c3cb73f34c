package console

import (
	"fmt"
	"testing"

	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// What thousands of sources are refused for takes no more of the first page than their backlogs do, and hides no
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

// What needs a person leads to where that is done, where the console does it.
func TestOverviewData_LeadsToWhereItIsDone(t *testing.T) {
	t.Parallel()
	for need, path := range map[overview.Need]string{
		{Text: "12 dead letters of 3 sources", Mend: "redoxworker dlq ls --counts"}: "dead", {Text: "clinic-a is paused", Mend: "redoxworker resume --source clinic-a"}: "#pauses-title",
		{Text: "all sources are paused", Mend: "redoxworker resume --all"}: "#pauses-title", {Text: "key main does not work: refused", Mend: "register its public half"}: "keys",
		{Text: "key main does not work: x", Mend: "redoxworker keys check"}: "keys", {Text: "worker w-1 is not ready", Mend: "its log and /readyz say why"}: "workers",
		{Text: "2 workers that had a share of the limit a moment ago did not answer", Mend: "redoxworker workers"}: "workers", {Text: "outbox: 3 rows cannot be published; see `redoxworker outbox failed ls`"}: "outbox",
		{Text: "clinic-a is refused by Redox: 403", Mend: "check its Source ID and key"}: "sources", {Text: "no worker serves clinic-z", Mend: "run a worker that serves it, or see redoxworker astray ls"}: "sources",
		{Text: "3 messages under subjects that no worker reads", Mend: "redoxworker astray ls"}: "",
	} {
		if at := (overviewData{}).Place(need); at.Path != path || (at.Title == "") != (path == "") {
			t.Errorf("%q leads to %+v, want %q", need.Text, at, path)
		}
	}
}
