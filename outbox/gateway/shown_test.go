package gateway

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

// The order secret and a body are in unexported fields too, where fmt looks.
func TestPublisherGatewayAndBodyReaderPrintNoSecret(t *testing.T) {
	t.Parallel()
	r := provisioned(t)
	p, err := outbox.NewPublisher(r.JS, outbox.PublisherConfig{OrderSecret: []byte("SECRETSECRETSECRET")})
	r.Must(err)
	g, err := New(r.JS.Conn(), r.JS, Config{Sources: []string{"clinic-a"}, OrderSecret: []byte("SECRETSECRETSECRET")})
	r.Must(err)
	b := outbox.NewBodies(r.JS, "")
	r.Must(b.Put(r.Ctx(), "clinic-a/x", []byte("SECRETSECRETSECRET")))
	body, err := b.Open(r.Ctx(), "clinic-a/x", -1)
	r.Must(err)
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
	for _, nothing := range []any{(*outbox.Message)(nil), (*outbox.Publisher)(nil), (*outbox.Reply)(nil), (*dlq.Letter)(nil)} {
		var logged strings.Builder
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "v", nothing)
		if text, err := json.Marshal(nothing); err != nil || string(text) != "null" || !strings.Contains(fmt.Sprintf("%+v", nothing), "nil") {
			t.Errorf("%T: %s, %v, %+v", nothing, text, err, nothing)
		}
	}
}
