package cli

import (
	"context"
	"fmt"

	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// Why is the flag with which an operator says why.
type Why struct {
	Reason string `placeholder:"TEXT" help:"Why: kept in the audit trail, and shown to other operators. Nothing of a patient."`
}

// Desk is what the operator may do, and the dead letters.
func (s *Session) Desk() (*operate.Desk, *dlq.Store, error) {
	letters, err := dlq.New(s.JS, dlq.Config{Prefix: s.Prefix, Ring: s.Ring(), RequireSeal: s.Config.Seal.Require, ReadEvent: redox.ReadEvent})
	if err != nil {
		return nil, nil, err
	}
	record, err := s.Recorder()
	if err != nil {
		return nil, nil, err
	}
	desk, err := operate.New(s.JS, s.Prefix, letters, record)
	return desk, letters, err
}

// Ring opens sealed messages for the operator; nil where the configuration has none.
func (s *Session) Ring() *seal.Ring {
	if s.Config.Seal.RingFile == "" {
		return nil
	}
	return seal.Follow(s.Config.Seal.RingFile, seal.Options{})
}

// Recorder writes what the operator does into the audit trail: the stream, and the file where the
// configuration names one.
func (s *Session) Recorder() (*audit.Recorder, error) {
	return audit.NewRecorder(s.Keep(), OperatorName())
}

// Keep writes one entry there.
func (s *Session) Keep() audit.DeedSink {
	keep := func(ctx context.Context, d audit.Deed) error {
		return s.Explain(audit.NewStream(s.JS, s.Prefix).Deed(ctx, d))
	}
	if path := s.Config.Audit.File; path != "" {
		keep = audit.Sinks(keep, func(ctx context.Context, d audit.Deed) error {
			file, err := audit.NewFile(path)
			if err == nil {
				defer func() { _ = file.Close() }() // what was written is on the disk
				err = file.Deed(ctx, d)
			}
			if err != nil {
				return fmt.Errorf("%w; where this host keeps no such file, use --set audit.file=", err)
			}
			return nil
		})
	}
	return keep
}
