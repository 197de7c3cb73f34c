package auth

import (
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
)

func FuzzReadLegacy(f *testing.F) {
	f.Add([]byte(`{"accessToken":"a","expires":"2015-03-25T20:52:35.000Z","refreshToken":"b"}`))
	f.Add([]byte(`{"accessToken":"a","expires":12,"refreshToken":null}`))
	f.Add([]byte(`Invalid request`))
	f.Fuzz(func(t *testing.T, body []byte) {
		g, refresh, err := readLegacy(reply{body: body, begun: fixedNow, date: fixedNow})
		if err == nil && (g.Lifetime < time.Second || g.Lifetime > answer.MaxLifetime || answer.CheckBearer(g.Token) != nil) {
			t.Fatalf("a grant of %s was taken", g.Lifetime)
		}
		if refresh != "" && answer.CheckBearer(refresh) != nil {
			t.Fatal("a refresh token with control characters was taken")
		}
	})
}
