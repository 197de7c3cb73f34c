package cli

import (
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// CheckSource refuses what cannot be the name of a source, given as --source; "" is none.
func CheckSource(name string) error {
	if name == "" {
		return nil
	}
	if err := contract.CheckSource(name); err != nil {
		return Usagef("--source: %w", err)
	}
	return nil
}
