package natsdev

import (
	"fmt"
	"sync"
)

// fatalLog keeps the first fatal message of a server and drops the rest of its
// log. A server that cannot start says why only there.
type fatalLog struct {
	mu    sync.Mutex
	first error
}

func (l *fatalLog) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// Fatalf does not end the process, unlike that of the server's own logger.
func (l *fatalLog) Fatalf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = fmt.Errorf(format, args...)
	}
}

func (l *fatalLog) Noticef(string, ...any) {}
func (l *fatalLog) Warnf(string, ...any)   {}
func (l *fatalLog) Errorf(string, ...any)  {}
func (l *fatalLog) Debugf(string, ...any)  {}
func (l *fatalLog) Tracef(string, ...any)  {}
