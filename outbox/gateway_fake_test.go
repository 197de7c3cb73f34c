package outbox

import "github.com/nats-io/nats.go/micro"

// fakeRequest is a request that micro would hand to a handler.
type fakeRequest struct {
	micro.Request
	reply  string
	header micro.Headers
	body   []byte
}

func (f *fakeRequest) Reply() string          { return f.reply }
func (f *fakeRequest) Headers() micro.Headers { return f.header }
func (f *fakeRequest) Data() []byte           { return f.body }
