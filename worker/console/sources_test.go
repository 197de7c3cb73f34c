package console

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/service/registry"
)

// The address of the next page asks for what this one does, whatever somebody has typed.
func TestSourcesData_AddressesKeepTheQuery(t *testing.T) {
	t.Parallel()
	d := sourcesData{Query: "a&after=b#c%d"}
	rows := make([]registry.Row, shownSources+1)
	for i := range rows {
		rows[i].Source = fmt.Sprintf("clinic-%03d", i)
	}
	d.page(rows, "")
	for address, after := range map[string]string{d.First: "", d.More: "clinic-099"} {
		u, err := url.Parse(address)
		if err != nil || u.Query().Get("q") != d.Query || u.Query().Get("after") != after {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A name that stands in a file and in the registry is two rows of one source.
func TestSourcesData_KnowsWhatGoesOn(t *testing.T) {
	t.Parallel()
	d := sourcesData{Rows: []sourceRow{{Row: registry.Row{Source: "a"}}, {Row: registry.Row{Source: "a"}}, {Row: registry.Row{Source: "b"}}, {Row: registry.Row{Source: "c", Problem: "no key"}}, {Row: registry.Row{Source: "d"}}}}
	backlog := func(source string, n uint64, s overview.State) overview.Backlog {
		return overview.Backlog{Source: source, Messages: n, Why: overview.Why{State: s, Text: string(s)}}
	}
	d.know(&overview.Overview{
		Backlogs: []overview.Backlog{backlog("a", 2, overview.Moving), backlog("a", 3, overview.Unserved), backlog("c", 7, overview.Moving), backlog("e", 1, overview.Moving)},
		Pauses:   []overview.Pause{{Paused: worker.Paused{Scope: "source:b", Reason: "upgrade"}}, {Paused: worker.Paused{Scope: "dest:d:x", Reason: "down"}}, {Paused: worker.Paused{Scope: "all"}}},
		Dead:     &overview.Dead{Sources: map[string]uint64{"a": 4}},
	}, contract.Prefix(""))
	var got []string
	for _, s := range d.Rows {
		got = append(got, fmt.Sprint(s.Source, s.State, s.Why, s.Backlog, s.Dead))
	}
	if want := "[amovingmoving5 4 amovingmoving5 4 bpausedupgrade0 0 cnot servedno key7 0 dserving0 0]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// Two who resume a replay at once are told that it is not as it was.
func TestConsole_AStateThatHasChangedIsAConflict(t *testing.T) {
	t.Parallel()
	c := &Console{config: Config{Explain: func(err error) error { return err }}}
	if p := c.problemOf(fmt.Errorf("writing: %w", jetstream.ErrKeyExists)); p.Status != http.StatusConflict {
		t.Errorf("%+v", p)
	}
}
