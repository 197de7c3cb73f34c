package access

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// No token is asked for with a key that nothing uses; one line of the log and config print
// name it.
func TestKeys_AsksNoTokenWithAKeyThatNothingUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		user := config.Key{Type: config.KeyUser}
		c := &config.Config{
			Keys:      map[string]config.Key{"used": {}, "spare": {}, "followed": user, "people": user},
			Sources:   map[string]config.Source{"a": {Key: "used"}},
			Reconcile: config.Reconcile{Enabled: true, Key: "followed"},
		}
		var mu sync.Mutex
		asked := map[string]int{}
		all := map[string]*Key{}
		for _, name := range []string{"used", "spare", "followed", "people"} {
			cache, err := auth.NewCache(auth.MinterFunc(func(context.Context) (auth.Token, error) {
				mu.Lock()
				defer mu.Unlock()
				asked[name]++
				return auth.NewToken("t", time.Now(), time.Now().Add(5*time.Minute)), nil
			}), auth.CacheConfig{Name: name})
			if err != nil {
				t.Fatal(err)
			}
			all[name] = &Key{Name: name, Tokens: cache, Config: c.Keys[name]}
		}
		var log bytes.Buffer
		keys := &Keys{options: KeysOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))}, all: all, used: usedKeys(c)}
		connected := make(chan struct{})
		close(connected)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- keys.Run(ctx, connected) }()
		bubble.Sleep(time.Hour)
		cancel()
		<-done
		if asked["used"] < 10 || asked["followed"] < 10 || asked["spare"]+asked["people"] > 0 {
			t.Errorf("asked: %v", asked)
		}
		if text := log.String(); strings.Count(text, "no source uses these keys") != 1 || !strings.Contains(text, "keys=[spare]") {
			t.Errorf("log:\n%s", text)
		}
		if text := string(c.YAML()); strings.Count(text, "# no source uses this key") != 2 || !strings.Contains(text, "uses this key: no token is asked for with it\n  spare:") {
			t.Errorf("print:\n%s", text)
		}
	})
}
