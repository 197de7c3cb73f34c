// Package guard keeps what an embedder passes in from doing harm: functions that panic, and values that
// are nil.
package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Panics recovers those of an embedder's functions, and logs one a minute. The value of a panic may
// hold anything of a message, so only its type is kept. A runtime.Goexit cannot be recovered. It is safe
// for concurrent use.
type Panics struct {
	log    *slog.Logger
	last   atomic.Int64 // when the log was told, Unix, nanoseconds
	silent atomic.Int64 // panics that it was not told since
}

// NewPanics returns a Panics that logs to log.
func NewPanics(log *slog.Logger) *Panics { return &Panics{log: log} }

// ErrPanicked is the error of a function that panicked.
var ErrPanicked = errors.New("worker: a function of the embedder panicked")

// Recover recovers a panic, logs it, and calls then. It is to be deferred.
func (g *Panics) Recover(what string, then func()) {
	p := recover()
	if p == nil {
		return
	}
	if now, last := time.Now().UnixNano(), g.last.Load(); now-last < int64(time.Minute) || !g.last.CompareAndSwap(last, now) {
		g.silent.Add(1)
	} else {
		g.log.Error(what+" panicked", "panic", fmt.Sprintf("%T", p), "since_last", g.silent.Swap(0), "stack", string(debug.Stack()))
	}
	if then != nil {
		then()
	}
}

// IsNil reports whether v is nil, or a nil pointer or function.
func IsNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map:
		return r.IsNil()
	}
	return false
}
