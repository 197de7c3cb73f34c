package worker

import (
	"strings"
	"testing"
	"time"
)

func TestConfig_ZeroValueIsValidWithDefaults(t *testing.T) {
	t.Parallel()
	c := Config{}.WithDefaults()
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
	if c.Concurrency != 64 || c.AckWait != 30*time.Second || c.Retry.MaxAge != 24*time.Hour || c.ID == "" {
		t.Errorf("defaults %+v", c)
	}
	if again := c.WithDefaults(); again.ID != c.ID || again.Retry != c.Retry {
		t.Error("defaults change what has them")
	}
}

func TestConfig_EveryProblemIsReported(t *testing.T) {
	t.Parallel()
	c := Config{
		Prefix: "Red Ox", Sources: []Source{{Name: "A"}, {Name: "b"}, {Name: "b"}}, Concurrency: -1, PullBytes: -1,
		AckWait: time.Millisecond, DrainTimeout: -5, AttemptTimeout: -1, ReplyAllow: []string{"$JS.>"},
		Retry: Retry{Initial: time.Minute, Max: time.Second, MaxAge: -2, RequestMaxAge: -1, MaxAttempts: -1, PoisonAfter: -2},
	}
	err := c.WithDefaults().Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, part := range []string{"Red Ox", `"A"`, "twice", "Concurrency", "PullBytes", "AckWait", "DrainTimeout",
		"AttemptTimeout", "$JS", "Retry.Max:", "Retry.MaxAge", "Retry.RequestMaxAge", "Retry.MaxAttempts", "Retry.PoisonAfter"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not mentioned in:\n%v", part, err)
		}
	}
	if _, err := New(nil, nil, Config{}); err == nil {
		t.Error("New without JetStream and Deliverer")
	}
}

func TestRetry_DelayTable(t *testing.T) {
	t.Parallel()
	r := Config{}.WithDefaults().Retry
	want := []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600}
	for i, seconds := range want {
		if got := r.Delay(i + 1); got != seconds*time.Second {
			t.Errorf("after %d attempts: %v, want %v", i+1, got, seconds*time.Second)
		}
	}
	if got := r.Delay(1 << 30); got != r.Max {
		t.Errorf("after very many attempts: %v, want the cap %v", got, r.Max)
	}
}
