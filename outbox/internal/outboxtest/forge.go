package outboxtest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Secret is an order secret.
var Secret = []byte("0123456789abcdef0123456789abcdef")

// Pattern is a body of n bytes.
func Pattern(n int) []byte {
	body := make([]byte, n)
	for i := range body {
		body[i] = byte(i * 7 >> 3)
	}
	return body
}

// Forgeries are the Nats-Msg-Ids that somebody may try who knows source and id of a message,
// and the gateway's answers, but not the order secret.
func Forgeries(source, id string) []string {
	digest := func(parts ...string) (all []string) {
		for _, glue := range []string{"", ":", ".", "\n", "\x00", "/"} {
			sum := sha256.Sum256([]byte(strings.Join(parts, glue)))
			mac := hmac.New(sha256.New, nil)
			mac.Write([]byte(strings.Join(parts, glue)))
			for _, one := range [][]byte{sum[:], mac.Sum(nil)} {
				all = append(all, hex.EncodeToString(one), hex.EncodeToString(one[:wire.TokenDigits/2]))
			}
		}
		return all
	}
	forged := []string{id, source, ":" + id, source + ":" + id, source + "." + id, source + ":" + id + ":r1", source + ":", source + ":" + strings.Repeat("0", wire.TokenDigits)}
	for _, guess := range append(digest(source, id), digest("", source, id)...) {
		forged = append(forged, guess, source+":"+guess)
	}
	return forged
}
