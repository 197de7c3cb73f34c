package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// What is done to a source, as the audit trail calls it.
const (
	auditAdd    = "source.add"
	auditSet    = "source.set"
	auditRemove = "source.rm"
)

// auditEntry is one change. An entry of a settlement has no action.
type auditEntry struct {
	Time     time.Time       `json:"time"`
	By       string          `json:"by"`
	Action   string          `json:"action"`
	Source   string          `json:"source"`
	Before   json.RawMessage `json:"before,omitempty"`
	After    json.RawMessage `json:"after,omitempty"`
	Revision uint64          `json:"revision,omitempty"`
}

// audit stores an entry where it is asked for.
func (r *Registry) audit(ctx context.Context, e auditEntry) error {
	if !r.options.Audit {
		return nil
	}
	e.Time, e.By = time.Now().UTC(), r.options.By
	data, err := json.Marshal(e)
	if err == nil {
		_, err = r.js.Publish(ctx, r.options.Prefix.AuditSubject(e.Source), data)
	}
	if err != nil {
		return fmt.Errorf("source %s: %w: %w", e.Source, ErrNoAudit, err)
	}
	return nil
}
