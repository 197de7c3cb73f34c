package outbox

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// The order secret and a body are in unexported fields too, where fmt looks.
func TestPublisherGatewayAndBodyReaderPrintNoSecret(t *testing.T) {
	t.Parallel()
	r, p := published(t, natsdev.Options{}, PublisherConfig{OrderSecret: []byte("SECRETSECRETSECRET")})
	g, err := NewGateway(r.js.Conn(), r.js, GatewayConfig{Sources: []string{"clinic-a"}, OrderSecret: []byte("SECRETSECRETSECRET")})
	must(r, err)
	b := NewBodies(r.js, "")
	must(r, b.Put(r.ctx(), "clinic-a/x", []byte("SECRETSECRETSECRET")))
	body, err := b.Open(r.ctx(), "clinic-a/x", -1)
	must(r, err)
	if _, err := body.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{p, *p, g, body, []any{p, g, body}} {
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", v)
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		all := logged.String() + string(text)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			all += fmt.Sprintf(verb, v)
		}
		for _, secret := range []string{"SECRET", "83 69 67 82 69 84", "0x53, 0x45, 0x43", "534543524554", "U0VDUkVU"} {
			if strings.Contains(all, secret) {
				t.Errorf("%T prints %q: %s", v, secret, all)
			}
		}
	}
	for _, nothing := range []any{(*Message)(nil), (*Publisher)(nil), (*Reply)(nil), (*DeadLetter)(nil)} {
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", nothing)
		if text, err := json.Marshal(nothing); err != nil || string(text) != "null" || !strings.Contains(fmt.Sprintf("%+v", nothing), "nil") {
			t.Errorf("%T: %s, %v, %+v", nothing, text, err, nothing)
		}
	}
}

// A Message as JSON is for a log: nobody must take it for a way to store one.
func TestMessage_IsNotReadFromItsJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Message{ID: "m-1", Source: "clinic-a", Path: "Patient?name=SECRET", Body: []byte("SECRET")})
	if want := `{"id":"m-1","source":"clinic-a","path_bytes":19,"body_bytes":6}`; err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
	var m Message
	if err := json.Unmarshal(text, &m); err == nil || !strings.Contains(err.Error(), "Decode") {
		t.Errorf("%v, %v", m, err)
	}
}
