package redox

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// FuzzCheckBody holds the one reader of bodies to encoding/json, but for a byte order mark and
// for what is no UTF-8; and it quotes nothing.
func FuzzCheckBody(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"a":1} x`, `[1,2`, "\xff", `{"\u12`, `nul`, ` 1 `, "\ufeff{}", `{"a":"\ud83d"}`, `{"a":1,"a":2}`, "\xff\xfe{\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := CheckBody(outbox.Message{Kind: outbox.KindPlatform, Body: append([]byte{}, body...)})
		text := contract.WithoutMark(body)
		if want := len(body) == 0 || utf8.Valid(text) && json.Valid(text); want != (err == nil) {
			t.Fatalf("%q: %v", body, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "the body is ") {
			t.Fatalf("%q: %v", body, err)
		}
	})
}

// A byte order mark is passed over and not sent; all other bytes go as they are.
func TestDeliver_ByteOrderMark(t *testing.T) {
	t.Parallel()
	far := serve(t, respond(200, accepted))
	c := client(t, far.URL, &keyring{})
	xml := fhir(contract.LaneSend, "POST", "h/Development/Patient", "\ufeff<Patient/>")
	xml.ContentType = "application/fhir+xml"
	file := outbox.Message{ID: "f", Source: "clinic-a", Lane: contract.LaneSend, Kind: outbox.KindFile, Body: []byte("\ufefftext")}
	for _, tt := range []struct {
		m    outbox.Message
		want string
	}{
		{message(contract.LaneSend, "\ufeff"+event), sent},
		{message(contract.LaneRequest, "\ufeff \r\n"+event), " \r\n" + sent},
		{message(contract.LaneSend, "\ufeff"+strings.ReplaceAll(event, "Timothy", "\ufeffTimothy")), strings.ReplaceAll(sent, "Timothy", "\ufeffTimothy")},
		{fhir(contract.LaneSend, "POST", "h/Development/Patient", "\ufeff"+patient), patient},
		{xml, "\ufeff<Patient/>"}, // not JSON: nobody's business
	} {
		before := len(far.seen())
		if _, err := c.Deliver(t.Context(), tt.m); err != nil {
			t.Errorf("%q: %v", tt.m.Body, err)
			continue
		}
		if got := far.seen()[before].body; got != tt.want {
			t.Errorf("sent %q\nwant %q", got, tt.want)
		}
	}
	_, _ = c.Deliver(t.Context(), file)
	if got := far.seen(); !strings.Contains(got[len(got)-1].body, "\ufefftext") {
		t.Error("a file lost its mark")
	}
	// The guards see what is behind it.
	other := strings.Replace(writeback, sourceID, otherID, 1)
	if _, err := c.Deliver(t.Context(), fhir(contract.LaneSend, "POST", "h/Development/Patient/$x", "\ufeff"+other)); err == nil || !failure(t, err).Permanent() {
		t.Errorf("another source behind a mark: %v", err)
	}
}
