package breaker

import (
	"slices"
	"strings"
)

// The kinds of scopes, narrow ones first. What a message met counts for the narrowest that
// explains it.
//
//	dest:<source>:<destination>   what is behind the far side, for one source
//	source:<source>
//	key:<key>                     the credentials of one or more sources
//	host:<host>
//	group:<group>                 everybody behind an egress address
//	pause:<source>, pause:*       a source, or all, paused by an operator
//	pause:<source>:<destination>  a destination of a source, or, with *, of all, paused by an operator
const (
	destPrefix     = "dest:"
	sourcePrefix   = "source:"
	keyPrefix      = "key:"
	hostPrefix     = "host:"
	operatorPrefix = "pause:"
	operatorAll    = "pause:*"
)

// Source returns the scope of a source.
func Source(name string) string { return sourcePrefix + name }

// OperatorScope is the scope of an operator's pause of a source, or of all when it is "": of its
// messages to one destination, or of all of them when that is "". The case of a destination does not count.
func OperatorScope(source, destination string) string {
	scope := operatorAll
	if source != "" {
		scope = operatorPrefix + source
	}
	if destination != "" {
		scope += ":" + strings.ToLower(destination)
	}
	return scope
}

// holdsDestination reports whether a scope is an operator's pause of a destination.
func holdsDestination(scope string) bool {
	target, ok := strings.CutPrefix(scope, operatorPrefix)
	return ok && strings.Contains(target, ":")
}

// ByOperator reports whether a scope is that of an operator's pause.
func ByOperator(scope string) bool { return strings.HasPrefix(scope, operatorPrefix) }

// Narrow reports whether a scope is a source or a destination of one: its pause holds up nobody
// else.
func Narrow(scope string) bool {
	return strings.HasPrefix(scope, sourcePrefix) || isDest(scope)
}

// Shown is what a scope is called outside: an operator's pause is that of the source or destination.
func Shown(scope string) string {
	switch target, ok := strings.CutPrefix(scope, operatorPrefix); {
	case scope == operatorAll:
		return "all"
	case holdsDestination(scope):
		return destPrefix + target
	case ok:
		return Source(target)
	}
	return scope
}

// Kind is the kind of a scope: destination, source, key, host, group, operator, or other where
// somebody else has made it up.
func Kind(scope string) string {
	switch prefix, _, _ := strings.Cut(scope, ":"); prefix {
	case "dest":
		return "destination"
	case "pause":
		return "operator"
	case "source", "key", "host", "group":
		return prefix
	}
	return "other"
}

// ofSource is the source of a narrow scope; "" of any other.
func ofSource(scope string) string {
	if source, ok := strings.CutPrefix(scope, sourcePrefix); ok {
		return source
	}
	if rest, ok := strings.CutPrefix(scope, destPrefix); ok {
		source, _, _ := strings.Cut(rest, ":")
		return source
	}
	return ""
}

// idOf is the destination itself, of whichever source; "" of any other scope.
func idOf(dest string) string {
	rest, _ := strings.CutPrefix(dest, destPrefix)
	_, id, _ := strings.Cut(rest, ":")
	return id
}

// IsHost reports whether a scope is a host.
func IsHost(scope string) bool { return strings.HasPrefix(scope, hostPrefix) }

// isShared reports whether the pause of a scope is the whole fleet's. A key's is not: each
// worker has tokens of its own.
func isShared(scope string) bool { return !strings.HasPrefix(scope, keyPrefix) }

func isDest(scope string) bool { return strings.HasPrefix(scope, destPrefix) }

func isKey(scope string) bool { return strings.HasPrefix(scope, keyPrefix) }

// first is the first of the scopes of a kind; "" if there is none.
func first(scopes []string, is func(string) bool) string {
	if i := slices.IndexFunc(scopes, is); i >= 0 {
		return scopes[i]
	}
	return ""
}

const groupPrefix = "group:"

// isGroup reports whether a scope is everybody behind an egress address.
func isGroup(scope string) bool { return strings.HasPrefix(scope, groupPrefix) }
