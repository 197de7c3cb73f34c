package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
)

// openAudit opens the audit file before anything starts, so that a path that does not
// work shows at once.
func (w *wiring) openAudit() error {
	if w.config.Audit.File == "" {
		return nil
	}
	file, err := worker.NewAuditFile(w.config.Audit.File)
	if err != nil {
		return usageError{fmt.Errorf("audit.file: %w", err)}
	}
	w.auditFile = file
	return nil
}

// audit is where entries go: file, stream, both or nowhere.
func (w wiring) audit(js jetstream.JetStream) worker.Audit {
	var all []worker.Audit
	if w.auditFile != nil {
		all = append(all, w.auditFile.Append)
	}
	if w.config.Audit.Stream {
		all = append(all, worker.AuditStream(js, outbox.Prefix(w.config.NATS.Prefix)))
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return func(ctx context.Context, e worker.AuditEntry) error {
		var errs []error
		for _, audit := range all {
			errs = append(errs, audit(ctx, e))
		}
		return errors.Join(errs...)
	}
}
