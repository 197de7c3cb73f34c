package sqltest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
)

// sealed: rows hold nothing that can be read, a relay without a ring passes them on as they are, and where all must be
// sealed, a row that another has written in the clear fails.
func (s Server) sealed(t *testing.T) {
	const patient = "CANARY-4711"
	ks, _ := seal.Keys{}.With(time.Now(), time.Now())
	ring := seal.NewRing(ks)
	r := s.New(t, sqloutbox.Config{Ring: ring, RequireSeal: true}).Provision()
	large := `{"name":"` + patient + `","pad":"` + strings.Repeat("x", int(r.JS.Conn().MaxPayload())) + `"}`
	want := map[string]outbox.Message{
		"small":   {Kind: outbox.KindFHIR, Method: "PUT", Path: "x/Production/Patient?name=" + patient, Body: []byte(patient), Header: map[string][]string{"If-Match": {patient}}},
		"large":   {Body: []byte(large)},
		"ordered": {OrderKey: patient, Body: []byte(patient)},
		"request": {Lane: contract.LaneRequest, Kind: outbox.KindFHIR, Path: "x/Production/Patient?name=" + patient, ReplyTo: "redox.reply.clinic-a.x"},
	}
	for id, m := range want {
		m.ID, m.Source = id, "clinic-a"
		r.Commit(m)
	}
	r.noneInTheClear("redox_outbox", patient, len(want))
	relay, err := newRelay(r.Box, r.DB, r.JS, sqloutbox.RelayConfig{}, outbox.PublisherConfig{RequireSeal: true})
	r.Must(err)
	r.run(relay)
	r.Empty()
	bodies, all := outbox.NewBodies(r.JS, ""), r.Queued()
	for _, m := range all {
		opened, opening, err := m.Open(ring, "")
		r.Must(err)
		if m.BodyObject != "" {
			opened.Body, err = bodies.GetOpened(r.Ctx(), m.BodyObject, -1, opening)
			r.Must(err)
		}
		if w := want[m.ID]; !m.Sealed() || bytes.Contains(m.Body, []byte(patient)) || !bytes.Equal(opened.Body, w.Body) || opened.Path != w.Path || len(opened.Header) != len(w.Header) || (m.ID == "large") != (m.BodyObject != "") {
			t.Errorf("%s: sealed %t, %d bytes, opened %d bytes of %s", m.ID, m.Sealed(), len(m.Body), len(opened.Body), opened.Path)
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d messages", len(all))
	}
	r.byHand("by-hand", "clinic-a", "", "NATS/1.0\r\n\r\n{}")
	r.Empty()
	rows, err := r.Box.Failed(r.Ctx(), r.DB, 0)
	if err != nil || len(rows) != 1 || !strings.Contains(rows[0].Failed, "seal.require is on") {
		t.Errorf("failed rows %v, %v", rows, err)
	}
}

// noneInTheClear reads all rows of a table.
func (r *Rig) noneInTheClear(table, patient string, want int) {
	r.Helper()
	rows, err := r.DB.QueryContext(r.Ctx(), "SELECT sealed, token, message FROM "+table)
	r.Must(err)
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		var sealed int
		var token string
		var message []byte
		r.Must(rows.Scan(&sealed, &token, &message))
		if sealed != 1 || bytes.Contains(message, []byte(patient)) || strings.Contains(token, patient) {
			r.Errorf("a row is in the clear, or says so: %d", sealed)
		}
	}
	if r.Must(rows.Err()); n != want {
		r.Errorf("%d rows, not %d", n, want)
	}
}
