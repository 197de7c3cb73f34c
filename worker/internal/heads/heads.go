// Package heads knows who may go of each order token. A [Stream] asks the leader of a stream for the
// first stored message of a subject, which is the head of its token. [Lines] are what a worker
// believes meanwhile: who is the head, who waits behind it in its hands, and who was handed back until
// when. It delivers nothing and settles nothing.
package heads

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Place is the place of a message in the order of its token.
type Place int

const (
	Head   Place = iota // the first stored message of its subject: it goes
	Behind              // another is before it
	Gone                // it is stored no more
)

// Delivery is a message in a worker's hands.
type Delivery interface {
	comparable
	Subject() string
	Sequence() uint64 // in the stream
	// Delivered counts its deliveries, this one included; Consumed is the number of this one among
	// those of its consumer.
	Delivered() uint64
	Consumed() uint64
	Size() int // of its body in memory
}

// ErrNone is returned when the stream has no message of the subject.
var ErrNone = errors.New("no message of the subject is stored")

// answerWait bounds the wait for the leader's answer.
const answerWait = 2 * time.Second

// Stream is one that is asked for the first message of a subject.
type Stream struct {
	conn *nats.Conn
	api  string
}

// Of returns the stream of a name. It makes no request.
func Of(js jetstream.JetStream, name string) Stream {
	return Stream{js.Conn(), contract.APIPrefix(js) + "STREAM.MSG.GET." + name}
}

// First returns the sequence of the first stored message of a subject. It asks the leader of the
// stream (STREAM.MSG.GET): a replica may still have a message that was acknowledged a moment ago, or
// not have a new one yet. A leader that was replaced and does not know it may name an older message:
// a follower then waits a moment for a message that is gone.
//
// The answer holds the whole message.
func (s Stream) First(ctx context.Context, subject string) (uint64, error) {
	answer, err := s.ask(ctx, subject)
	if err != nil {
		return 0, err
	}
	return readSequence(answer)
}

func (s Stream) ask(ctx context.Context, subject string) ([]byte, error) {
	ask, err := json.Marshal(map[string]any{"next_by_subj": subject, "no_hdr": true})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	answer, err := s.conn.RequestWithContext(ctx, s.api, ask)
	if err != nil {
		return nil, fmt.Errorf("asking for the first message of a subject: %w", err)
	}
	return answer.Data, nil
}

// readSequence reads the sequence of an answer to STREAM.MSG.GET without its body.
func readSequence(answer []byte) (uint64, error) {
	d := jsontext.NewDecoder(bytes.NewReader(answer))
	for {
		token, err := d.ReadToken()
		if err != nil {
			return 0, fmt.Errorf("reading the answer about the first message of an order: %w", err)
		}
		switch depth := d.StackDepth(); {
		case depth == 0 && token.Kind() == '}':
			return 0, errors.New("the answer about the first message of an order names none")
		case token.Kind() != '"' || isValue(d):
		case depth == 2 && token.String() == "seq":
			return readUint(d)
		case depth == 1 && token.String() == "error":
			return 0, readAPIError(d)
		}
	}
}

func readUint(d *jsontext.Decoder) (uint64, error) {
	value, err := d.ReadToken()
	if err != nil || value.Kind() != '0' {
		return 0, errors.New("the answer about the first message of an order has no sequence")
	}
	return value.Uint()
}

// isValue reports whether the string that was read last is the value of a member, not its name.
func isValue(d *jsontext.Decoder) bool {
	kind, n := d.StackIndex(d.StackDepth())
	return kind == '{' && n%2 == 0
}

func readAPIError(d *jsontext.Decoder) error {
	value, err := d.ReadValue()
	if err != nil {
		return err
	}
	refusal := &jetstream.APIError{}
	if err := json.Unmarshal(value, refusal); err != nil {
		return err
	}
	if refusal.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return ErrNone
	}
	return refusal
}
