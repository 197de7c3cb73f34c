package outbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// OrderToken turns an order key, a patient id for instance, into the token that leaves the
// application: 32 hex digits of HMAC-SHA-256. All publishers of a source need the same secret, at
// least 16 bytes that nobody can guess: whoever knows it can find the keys behind tokens by trying.
// White space around the secret is ignored, so that the content of its file can be given as it is.
// A key with white space around it is refused, since a header does not keep it.
func OrderToken(orderSecret []byte, key string) (string, error) {
	if err := checkOrderSecret(orderSecret); err != nil {
		return "", err
	}
	if err := checkOrderKey(key); err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, secret.Content(orderSecret))
	mac.Write([]byte(key))
	return hex.EncodeToString(mac.Sum(nil)[:wire.TokenDigits/2]), nil
}

// MakeToken replaces the OrderKey of m, if it has one, by its OrderToken, as a [Publisher] does
// before it publishes.
func (m *Message) MakeToken(orderSecret []byte) error {
	if m.OrderKey == "" {
		return nil
	}
	if len(orderSecret) == 0 {
		return errNoOrderSecret
	}
	token, err := OrderToken(orderSecret, m.OrderKey)
	if err != nil {
		return err
	}
	if m.OrderToken != "" && m.OrderToken != token {
		return &ContractError{Part: contract.HeaderOrderToken, Reason: "is not that of the order key: give one of the two"}
	}
	m.OrderKey, m.OrderToken = "", token
	return nil
}

var errNoOrderSecret = errors.New("outbox: the message has an order key, but there is no order secret to make its token with: set OrderSecret (order.secret_file)")

func checkOrderSecret(orderSecret []byte) error {
	if n := len(secret.Content(orderSecret)); n < wire.MinSecret {
		return fmt.Errorf("outbox: order secret has %d bytes: give at least %d random ones", n, wire.MinSecret)
	}
	return nil
}

// checkOrderKey refuses a key that would make another token on another way in: a client of
// the gateway puts it into a header, which loses the white space around it.
func checkOrderKey(key string) error {
	switch {
	case key == "":
		return &ContractError{Part: contract.HeaderOrderKey, Reason: "is empty: leave it out if there is none"}
	case strings.TrimSpace(key) != key:
		return &ContractError{Part: contract.HeaderOrderKey, Reason: "begins or ends with white space: trim it"}
	}
	return nil
}
