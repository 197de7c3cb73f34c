package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
)

// auditLook is how often an AuditFile looks whether its file was moved away.
const auditLook = time.Second

// AuditFile appends entries to a file, one JSON object in a line. Each line is one write
// at the file's end, so several processes may share the file. A file that was moved or
// removed, as by logrotate, is opened anew within a second. It is safe for concurrent use.
type AuditFile struct {
	path string

	mu     sync.Mutex
	file   *os.File // nil when it could not be opened
	torn   bool     // the file ends within a line
	looked time.Time
	closed bool
}

// NewAuditFile opens the file, or creates it for its owner alone (0600).
func NewAuditFile(path string) (*AuditFile, error) {
	f := &AuditFile{path: path}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// Append is an [Audit]. The line is with the operating system when it returns, not
// necessarily on the disk.
func (f *AuditFile) Append(_ context.Context, e AuditEntry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("worker: encoding an audit entry: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.follow(); err != nil {
		return err
	}
	line = append(line, '\n')
	if f.torn { // the half line stays one of its own, and this one whole
		line = slices.Insert(line, 0, '\n')
	}
	n, err := f.file.Write(line)
	f.torn = err != nil && (f.torn || n > 0)
	if err != nil {
		return fmt.Errorf("worker: audit file: %w", err)
	}
	return nil
}

// Close closes the file. Appends after it fail.
func (f *AuditFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

// follow opens the file anew when its path leads elsewhere by now.
func (f *AuditFile) follow() error {
	switch {
	case f.closed:
		return fmt.Errorf("worker: audit file: %w", os.ErrClosed)
	case f.file == nil:
		return f.open()
	case time.Since(f.looked) < auditLook:
		return nil
	}
	f.looked = time.Now()
	have, err := f.file.Stat()
	if err != nil {
		return fmt.Errorf("worker: audit file: %w", err)
	}
	there, err := os.Stat(f.path)
	switch {
	case err == nil && os.SameFile(have, there):
		return nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("worker: audit file: %w", err)
	}
	_ = f.file.Close() // every line was written already
	f.file = nil
	return f.open()
}

func (f *AuditFile) open() error {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("worker: audit file: %w; make its folder writable for this user", err)
	}
	f.file, f.looked, f.torn = file, time.Now(), endsTorn(f.path)
	return nil
}

// endsTorn reports whether a file ends within a line, as when its disk was full or the
// machine lost power. What cannot be read does not.
func endsTorn(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// AuditStream is an [Audit] that stores entries in the stream REDOX_AUDIT, under the
// subject redox.audit.<source>; see [topology.Topology]. A settlement whose entry is
// written twice within the stream's duplicate window has it once.
func AuditStream(js jetstream.JetStream, p outbox.Prefix) Audit {
	return func(ctx context.Context, e AuditEntry) error {
		line, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("worker: encoding an audit entry: %w", err)
		}
		msg := &nats.Msg{Subject: p.AuditSubject(e.Source), Data: line, Header: nats.Header{
			outbox.HeaderID: {fmt.Sprintf("%s:%s:audit:%s:%d", e.Source, p.DeadToken(e.Message, e.Sequence), e.Settlement, e.Stored.UnixNano())}}}
		if js == nil {
			return errNoJetStream
		}
		if _, err := js.PublishMsg(ctx, msg); err != nil {
			return fmt.Errorf("worker: audit stream %s: %w", p.AuditStream(), err)
		}
		return nil
	}
}
