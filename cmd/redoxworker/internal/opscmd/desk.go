package opscmd

import (
	"context"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/worker/operate"
)

// desk is an open connection and what an operator may do over it, with its audit trail.
type desk struct {
	*operate.Desk
	*cli.Session
}

// openDesk needs neither keys nor sources, only NATS.
func openDesk(ctx context.Context, a *cli.App) (*desk, error) {
	q, err := a.OpenSession(ctx, cli.NATSOnly)
	if err != nil {
		return nil, err
	}
	d, _, err := q.Desk()
	if err != nil {
		q.Close()
		return nil, err
	}
	return &desk{d, q}, nil
}
