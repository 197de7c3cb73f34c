package auth

import (
	"fmt"
	"reflect"
	"runtime/debug"
)

// panicked is the error that a panic of somebody else's code becomes. The value may hold
// anything, a token too: only its type is kept.
type panicked struct {
	what  string // whose
	value string // the type
	stack string
}

func (p *panicked) Error() string { return "auth: " + p.what + " panicked with a " + p.value }

// guard turns a panic into an error. Its caller defers it.
func guard(what string, err *error) {
	if p := recover(); p != nil {
		*err = &panicked{what: what, value: fmt.Sprintf("%T", p), stack: string(debug.Stack())}
	}
}

// guarded calls somebody else's code.
func guarded(what string, f func()) (err error) {
	defer guard(what, &err)
	f()
	return nil
}

// isNil reports whether there is nothing: nil, or a nil pointer or function of some type.
func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map:
		return r.IsNil()
	}
	return false
}
