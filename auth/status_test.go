package auth

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

func TestStatus_SaysWhatAPersonNeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStandIn(t)
		c := startCache(t, newTestOAuth(t, s, ecKey("k1"), OAuthConfig{}), CacheConfig{Name: "main"})
		if _, err := c.Bearer(t.Context()); err == nil {
			t.Fatal("an unknown key was taken")
		}
		got := c.Status()
		if got.Usable || got.Tokens != 0 || got.Failures != 1 || got.KeyID != "k1" || got.Name != "main" || got.Failed != 1 {
			t.Errorf("status %+v", got)
		}
		if !strings.Contains(got.Error, "Public key not found") || !strings.Contains(got.Mend, "dashboard") || !got.NextTry.After(time.Now()) {
			t.Errorf("status %+v", got)
		}
		s.set(func() { s.keys["k1"] = ecKey("").Public() })
		bubble.Sleep(time.Minute)
		got = c.Status()
		if !got.Usable || got.Tokens != 1 || got.Error != "" || got.Mend != "" || !got.NextTry.IsZero() || got.Mints != 1 {
			t.Errorf("status %+v", got)
		}
		text := string(must(json.Marshal(got)))
		if !strings.Contains(text, `"usable":true`) || strings.Contains(text, "token-") || strings.Contains(text, "next_try") {
			t.Errorf("as JSON: %s", text)
		}
	})
}
