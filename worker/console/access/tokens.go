package access

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// hashPrefix begins the hash of a token.
const hashPrefix = "sha256:"

// NewToken makes a token of 256 random bits, and its hash for the configuration.
func NewToken() (token, hash string) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	token = "redox_" + base64.RawURLEncoding.EncodeToString(random)
	return token, HashToken(token)
}

// HashToken returns the hash of a token: a token is random and long, and needs no slow one.
func HashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// Tokens know people by a token each. They are immutable.
type Tokens struct {
	names  []string
	hashes [][sha256.Size]byte
}

// NewTokens takes the hashes of [HashToken] by the name of who has the token.
func NewTokens(hashes map[string]string) (*Tokens, error) {
	t := &Tokens{}
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		text, ok := strings.CutPrefix(hashes[name], hashPrefix)
		sum, err := hex.DecodeString(text)
		if !ok || err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("access: the hash of the token of %q is none: write what NewToken returned", name)
		}
		if name == "" || printable(name) != name {
			return nil, fmt.Errorf("access: %q is not a name", name)
		}
		t.names, t.hashes = append(t.names, name), append(t.hashes, [sha256.Size]byte(sum))
	}
	if len(t.names) == 0 {
		return nil, fmt.Errorf("access: there is no token: nobody could sign in")
	}
	return t, nil
}

// check takes the same time whichever token it is, or none.
func (t *Tokens) check(_, token string) (Identity, bool) {
	sum, found := sha256.Sum256([]byte(token)), -1
	for i := range t.hashes {
		found = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(t.hashes[i][:], sum[:]), i, found)
	}
	if found < 0 {
		return Identity{}, false
	}
	return Identity{Name: t.names[found]}, true
}

func (t *Tokens) mark(name string) (string, bool) {
	if i := slices.Index(t.names, name); i >= 0 {
		return markOf(t.hashes[i][:]), true
	}
	return "", false
}

func (t *Tokens) named() bool { return false }

// markOf tells one credential from the next of the same user, and nothing else of it.
func markOf(hash []byte) string {
	sum := sha256.Sum256(append([]byte("mark "), hash...))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}
