package breaker

import (
	"slices"
	"strings"
)

// Scopes of pauses by an operator.
const (
	operatorAll    = "pause:*"
	operatorPrefix = "pause:"
)

// OperatorScope is the scope of an operator's pause of a source, or of all when it is "".
func OperatorScope(source string) string {
	if source == "" {
		return operatorAll
	}
	return operatorPrefix + source
}

// ByOperator reports whether a scope is that of an operator's pause.
func ByOperator(scope string) bool { return strings.HasPrefix(scope, operatorPrefix) }

// Shown is what a scope is called outside: an operator's pause of a source is that of the source.
func Shown(scope string) string {
	if scope == operatorAll {
		return "all"
	}
	if source, ok := strings.CutPrefix(scope, operatorPrefix); ok {
		return "source:" + source
	}
	return scope
}

// ownScopes are the scopes that every source has by itself.
func ownScopes(source string) []string {
	return []string{"source:" + source, operatorAll, operatorPrefix + source}
}

// isShared reports whether the pause of a scope is the whole fleet's. A key's is not: each
// worker has tokens of its own.
func isShared(scope string) bool { return IsHost(scope) || strings.HasPrefix(scope, "group:") }

// IsHost reports whether a scope is a host.
func IsHost(scope string) bool { return strings.HasPrefix(scope, "host:") }

// hostOf is the first host among scopes; "" if there is none.
func hostOf(scopes []string) string {
	if i := slices.IndexFunc(scopes, IsHost); i >= 0 {
		return scopes[i]
	}
	return ""
}
