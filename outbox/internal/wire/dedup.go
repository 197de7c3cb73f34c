package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// DedupID is the Nats-Msg-Id of a message: <source>:<id>. The stream drops what it knows
// by that header and has no notion of sources, so an id alone would let the message of one
// source suppress that of another. Anyone who may publish can write that header. An order
// secret therefore replaces the id by 32 hex digits of an HMAC-SHA-256, which no other
// source can make: of \n<source>\n<id>, which is never that of an order key, since a key
// does not begin with white space.
func DedupID(orderSecret []byte, source, id string) string {
	if len(orderSecret) == 0 {
		return source + ":" + id
	}
	mac := hmac.New(sha256.New, secret.Content(orderSecret))
	mac.Write([]byte("\n" + source + "\n" + id))
	return source + ":" + hex.EncodeToString(mac.Sum(nil)[:TokenDigits/2])
}
