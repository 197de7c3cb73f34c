package registry

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// Waiting counts the messages of a source in the queue, those in flight included: nobody would serve
// them without it.
func (r *Registry) Waiting(ctx context.Context, name string) (n uint64, err error) {
	stream, err := r.js.Stream(ctx, r.options.Prefix.OutStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(r.options.Prefix.String()+".out."+name+".>"))
	if err != nil {
		return 0, err
	}
	for _, waiting := range info.State.Subjects {
		n += waiting
	}
	return n, nil
}
