package redox

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// panicking panics where net/http reads a request, which is in a goroutine of its own.
type panicking struct{ atClose bool }

func (p panicking) Read([]byte) (int, error) {
	if p.atClose {
		return 0, io.EOF
	}
	panic("patient 4711")
}
func (panicking) Close() error { panic("patient 4711") }

func TestFile_ABodyThatPanicsIsAFailedRequest(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(201, `{"URI":"https://blob/1"}`))
	for name, open := range map[string]func(context.Context) (io.ReadCloser, error){
		"open":  func(context.Context) (io.ReadCloser, error) { panic("patient 4711") },
		"read":  func(context.Context) (io.ReadCloser, error) { return panicking{}, nil },
		"close": func(context.Context) (io.ReadCloser, error) { return panicking{atClose: true}, nil },
	} {
		m := message(contract.LaneSend, "")
		m.Kind, m.Body, m.OpenBody, m.BodySize = outbox.KindFile, nil, open, 10
		_, err := client(t, r.URL, &keyring{}, func(*Config, *Source) {}).Deliver(t.Context(), m)
		if err == nil || strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
