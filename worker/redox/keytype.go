package redox

import "github.com/redoxworker/redoxworker/outbox"

// KeyType is the kind of a Redox API key. It decides what the key may be used for.
type KeyType string

// The types of keys.
const (
	// KeyOAuth is an organization-level OAuth key: everything but the Platform API. ""
	// means this one.
	KeyOAuth KeyType = "oauth"
	// KeyLegacy is a legacy key: the Data Model API and its files, not FHIR (Redox,
	// Authenticate a legacy API key), and not the Platform API.
	KeyLegacy KeyType = "legacy"
	// KeyUser is a user-level key: the Platform API only (Redox, Authenticate a
	// user-level API key).
	KeyUser KeyType = "user"
)

func (t KeyType) known() bool {
	return t == "" || t == KeyOAuth || t == KeyLegacy || t == KeyUser
}

// needsSourceID reports whether a source on such a key must say who it is: an OAuth key
// may serve several sources.
func (t KeyType) needsSourceID() bool { return t == "" || t == KeyOAuth }

// allows reports whether Redox takes messages of the kind with such a key.
func (t KeyType) allows(kind outbox.Kind) bool {
	switch t {
	case KeyUser:
		return kind == outbox.KindPlatform
	case KeyLegacy:
		return kind != outbox.KindFHIR && kind != outbox.KindPlatform
	default:
		return kind != outbox.KindPlatform
	}
}

// guardKind refuses a message that Redox takes with another type of key only, before a
// token or a request of the quota is spent on it.
func (s *sender) guardKind(kind outbox.Kind) *Error {
	if s.NoSlugGuard && kind != outbox.KindFHIR {
		return guarded("the source is one of another FHIR server than Redox (slug_guard: off), whose token is nobody else's: it sends kind fhir only")
	}
	if s.KeyType.allows(kind) {
		return nil
	}
	mend := "give the source an OAuth key"
	switch {
	case kind == outbox.KindPlatform:
		mend = "send it from a source with a user-level key"
	case s.KeyType == KeyUser:
		mend = "send it from a source with an OAuth key; a user-level key is for kind platform only"
	}
	return &Error{
		class:  ClassGuard,
		detail: "kind " + string(kind) + " does not go with the source's key of type " + string(s.KeyType.orDefault()) + ": " + mend,
		match:  ErrKeyType,
	}
}

func (t KeyType) orDefault() KeyType {
	if t == "" {
		return KeyOAuth
	}
	return t
}
