package tally

import (
	"context"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Letter names dead letters that are alike.
type Letter struct {
	Source     string
	Settlement outbox.Settlement
}

// OfLetters counts dead letters by source and settlement. It asks stream, which holds them, for all
// of their subjects: each has one of its own.
func OfLetters(ctx context.Context, p contract.Prefix, stream jetstream.Stream) (map[Letter]uint64, error) {
	root := p.String() + ".dlq."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(root+">"))
	if err != nil {
		return nil, err
	}
	count := make(map[Letter]uint64)
	for subject, n := range info.State.Subjects {
		if parts := strings.Split(strings.TrimPrefix(subject, root), "."); len(parts) == 3 {
			count[Letter{parts[0], outbox.Settlement(parts[1])}] += n
		}
	}
	return count, nil
}
