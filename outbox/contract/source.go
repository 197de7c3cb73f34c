package contract

import (
	"fmt"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// NoSource is the source of a dead letter whose subject named none, in
// subjects and queries.
const NoSource = "_"

// CheckSource reports whether name can be the name of a source: a subject
// token that matches [a-z0-9-]{1,64}.
func CheckSource(name string) error {
	if !wire.IsName(name, wire.MaxSource) {
		return fmt.Errorf("outbox: source %q: use 1 to %d of a-z, 0-9 and -", wire.Clip(name), wire.MaxSource)
	}
	return nil
}
