// Package guard calls code of somebody else, whose panics are errors.
package guard

import (
	"fmt"
	"reflect"
	"runtime/debug"
)

// Panic is the error that a panic becomes. The value may hold anything, a token too: only its
// type is kept.
type Panic struct {
	What  string // whose code it was
	Value string // the type of the value
	Stack string
}

// Error names whose code it was, and the type of the value.
func (p *Panic) Error() string { return "auth: " + p.What + " panicked with a " + p.Value }

// Recover turns a panic into an error. Its caller defers it.
func Recover(what string, err *error) {
	if p := recover(); p != nil {
		*err = &Panic{What: what, Value: fmt.Sprintf("%T", p), Stack: string(debug.Stack())}
	}
}

// Call calls f.
func Call(what string, f func()) (err error) {
	defer Recover(what, &err)
	f()
	return nil
}

// IsNil reports whether there is nothing: nil, or a nil pointer, function or map of some type.
func IsNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Pointer, reflect.Func, reflect.Map:
		return r.IsNil()
	}
	return false
}
