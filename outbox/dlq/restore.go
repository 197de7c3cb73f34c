package dlq

import (
	"context"
	"errors"
	"fmt"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/jsapi"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Restore stores a dead letter that was exported. A body that does not fit in a message goes into the
// object store. stored is false if the stream already has this dead letter, or another one of the
// same message and place in the queue, which is left as it is.
func (d *Store) Restore(ctx context.Context, l Letter) (stored bool, err error) {
	if l.MessageID == "" || !l.Settlement.Valid() || l.Settlement == outbox.Delivered || l.At.IsZero() {
		return false, errors.New("outbox: it is no dead letter: message id, settlement or instant is missing or unknown")
	}
	if l.Source != "" {
		if err := contract.CheckSource(l.Source); err != nil {
			return false, err
		}
	}
	if d.config.RequireSeal && d.config.Ring == nil && !l.Sealed() {
		return false, errors.New("outbox: it is not sealed, seal.require is on, and there is no ring of keys here: set seal.ring_file")
	}
	work, cancel := lingering(ctx)
	defer cancel()
	object := ""
	if l, err = d.enclosed(Stored{Letter: l}.unbound().Letter); err != nil {
		return false, err
	}
	if size, limit := wire.Size(l.Encode(d.config.Prefix)), d.js.Conn().MaxPayload(); size > limit {
		if l.Source == "" || len(l.Body) == 0 {
			return false, tooLarge(size, limit, "max_payload of the NATS server")
		}
		object = contract.BodyName(l.Source, outbox.NewID())
		if err := d.bodies.Put(work, object, l.Body); err != nil {
			return false, err
		}
		l.Header[contract.HeaderBodyObject] = []string{object}
		l.Body = nil
	}
	_, err = d.js.PublishMsg(work, l.Encode(d.config.Prefix))
	if err != nil && object != "" && IsAlreadyStored(err) {
		if err := d.bodies.Delete(work, object); err != nil {
			return false, err
		}
	}
	switch {
	case IsAlreadyStored(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("outbox: store the dead letter of message %s: %w", wire.Line(l.MessageID), jsapi.Explain(err, d.js, "write a dead letter"))
	}
	return true, nil
}
