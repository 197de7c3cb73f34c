package service

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/audit"
)

// openAudit opens the audit file before anything starts, so that a path that does not
// work shows at once.
func (s *Service) openAudit() error {
	if s.config.Audit.File == "" {
		return nil
	}
	file, err := audit.NewFile(s.config.Audit.File)
	if err != nil {
		return config.Mistakef("audit.file: %w", err)
	}
	s.auditFile = file
	return nil
}

// audit is where entries go: file, stream, both or nowhere.
func (s *Service) audit(js jetstream.JetStream) audit.Sink {
	var all []audit.Sink
	if s.auditFile != nil {
		all = append(all, s.auditFile.Append)
	}
	if s.config.Audit.Stream {
		all = append(all, audit.NewStream(js, contract.Prefix(s.config.NATS.Prefix)).Append)
	}
	if len(all) == 0 {
		return nil
	}
	return func(ctx context.Context, e audit.Entry) error {
		var errs []error
		for _, keep := range all {
			errs = append(errs, keep(ctx, e))
		}
		err := errors.Join(errs...)
		if err != nil {
			s.counts.auditErrors.Add(1)
		} else {
			s.counts.audited.Add(1)
		}
		return err
	}
}
