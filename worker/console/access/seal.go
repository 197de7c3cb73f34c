package access

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// minKey is the length of a session key, in bytes.
const minKey = 32

// maxSealed bounds what is opened, in bytes: browsers keep no larger cookie.
const maxSealed = 4096

// sealer makes texts that the browser keeps and can neither read nor change. It is safe for
// concurrent use.
type sealer struct{ keys []cipher.AEAD }

// newSealer seals with the first key and opens with all. Without one it makes its own.
func newSealer(keys []secret.Text) (*sealer, error) {
	if len(keys) == 0 {
		keys = []secret.Text{secret.New(rand.Text() + rand.Text())}
	}
	s := &sealer{}
	for i, key := range keys {
		text := secret.Content([]byte(key.Reveal()))
		if len(text) < minKey {
			return nil, fmt.Errorf("session key %d has %d bytes: give at least %d random ones", i+1, len(text), minKey)
		}
		derived, err := hkdf.Key(sha256.New, text, nil, "redoxworker console", 32)
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, err
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, err
		}
		s.keys = append(s.keys, aead)
	}
	return s, nil
}

// seal makes a text for one purpose, which opens for that alone.
func (s *sealer) seal(purpose string, payload []byte) string {
	return base64.RawURLEncoding.EncodeToString(s.keys[0].Seal(nil, nil, payload, []byte(purpose)))
}

// open returns what was sealed for the purpose with one of the keys.
func (s *sealer) open(purpose, text string) ([]byte, bool) {
	if len(text) > maxSealed {
		return nil, false
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, false
	}
	for _, key := range s.keys {
		if payload, err := key.Open(nil, nil, sealed, []byte(purpose)); err == nil {
			return payload, true
		}
	}
	return nil, false
}
