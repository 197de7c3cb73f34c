package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Past is an instant, typed as one or as a duration before now.
type Past struct{ time.Time }

// UnmarshalText serves the command line.
func (p *Past) UnmarshalText(text []byte) (err error) {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		if n, failed := strconv.ParseUint(days, 10, 16); failed == nil {
			p.Time = time.Now().AddDate(0, 0, -int(n))
			return nil
		}
	}
	if ago, failed := time.ParseDuration(string(text)); failed == nil {
		if ago < 0 {
			return fmt.Errorf("%s is no time that has passed; use 90m, say", text)
		}
		p.Time = time.Now().Add(-ago)
		return nil
	}
	if p.Time, err = contract.ParseInstant(string(text)); err != nil {
		return errors.New("neither a time as 2026-01-31T12:00:00Z nor a duration as 90m or 3d")
	}
	return nil
}
