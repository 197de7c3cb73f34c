package auth

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/guard"
)

// NewJWKSHandler returns a handler that serves the public halves of the keys
// that keys returns at each request, so that a rotation shows at once. keys must
// be safe for concurrent use; the method [OAuth.Keys] is one.
//
// maxAge is how long an authorization server may cache the set, in whole seconds; 0 means 5
// minutes, -1 that it must ask each time. SMART has a client say so and forbids a server to cache
// the set for longer. A new key is known there at most maxAge after it was added here, so add it as
// the next key first.
//
// The handler answers 500 if keys is nil or panics.
//
// The set holds nothing secret and is served to anybody, by GET and HEAD, with
// an ETag.
func NewJWKSHandler(keys func() []Key, maxAge time.Duration) http.Handler {
	cache := "no-cache"
	if maxAge == 0 {
		maxAge = 5 * time.Minute
	}
	if maxAge > 0 {
		cache = "public, max-age=" + strconv.FormatInt(int64(maxAge/time.Second), 10)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		var set []byte
		var err error
		if bad := guard.Call("the function that lists the keys", func() { set, err = JWKS(keys()...) }); bad != nil {
			err = bad
		}
		if err != nil {
			http.Error(w, "the key set cannot be written", http.StatusInternalServerError)
			return
		}
		sum := sha256.Sum256(set)
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", cache)
		h.Set("ETag", fmt.Sprintf("%q", hex.EncodeToString(sum[:16])))
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(set)) // HEAD, If-None-Match
	})
}
