package jsapi

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var errNoJetStream = errors.New("there is no JetStream context: give what jetstream.New returned")

// Present returns js, or for nil one whose every use by this package is an error.
func Present(js jetstream.JetStream) jetstream.JetStream {
	if js == nil {
		return absent{}
	}
	return js
}

// absent stands for a JetStream context that is nil. It has the methods that everything
// here begins with.
type absent struct{ jetstream.JetStream }

func (absent) Conn() *nats.Conn                    { return nil }
func (absent) Options() jetstream.JetStreamOptions { return jetstream.JetStreamOptions{} }
func (absent) AccountInfo(context.Context) (*jetstream.AccountInfo, error) {
	return nil, errNoJetStream
}

func (absent) Stream(context.Context, string) (jetstream.Stream, error) { return nil, errNoJetStream }

func (absent) KeyValue(context.Context, string) (jetstream.KeyValue, error) {
	return nil, errNoJetStream
}

func (absent) Publish(context.Context, string, []byte, ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return nil, errNoJetStream
}

func (absent) PublishMsg(context.Context, *nats.Msg, ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	return nil, errNoJetStream
}
