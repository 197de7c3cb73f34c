package outbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

const (
	minOrderSecret = 16
	tokenDigits    = 32
)

// OrderToken turns an order key, a patient id for instance, into the token that
// leaves the application: 32 hex digits of HMAC-SHA-256. All publishers of a
// source need the same secret, at least 16 bytes that nobody can guess: who
// knows it can find the keys behind tokens by trying.
func OrderToken(secret []byte, key string) (string, error) {
	if err := checkOrderSecret(secret); err != nil {
		return "", err
	}
	if key == "" {
		return "", errors.New("outbox: order key is empty")
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(key))
	return hex.EncodeToString(mac.Sum(nil)[:tokenDigits/2]), nil
}

func checkOrderSecret(secret []byte) error {
	if len(secret) < minOrderSecret {
		return fmt.Errorf("outbox: order secret has %d bytes: give at least %d random ones", len(secret), minOrderSecret)
	}
	return nil
}

func isOrderToken(s string) bool {
	if len(s) != tokenDigits {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
