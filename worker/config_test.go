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

func TestRetry_NextUsesTheTimeThatIsLeft(t *testing.T) {
	t.Parallel()
	r := Config{}.WithDefaults().Retry
	const long = 24 * time.Hour
	for name, tt := range map[string]struct {
		attempts    int
		after, left time.Duration
		limited     bool
		delay       time.Duration
		jittered    bool
		ok          bool
	}{
		"a backoff":                            {1, 0, long, true, 2 * time.Second, true, true},
		"for ever":                             {20, 0, 0, false, 10 * time.Minute, true, true},
		"what the far side asks for":           {1, time.Minute, long, true, time.Minute, false, true},
		"no less than a backoff":               {9, time.Second, long, true, 512 * time.Second, false, true},
		"no more than the cap":                 {1, long, 2 * long, true, 10 * time.Minute, false, true},
		"half of what is left":                 {9, 0, time.Minute, true, 30 * time.Second, false, true},
		"exactly what is left":                 {1, 0, 2 * time.Second, true, time.Second, false, true},
		"too little is left":                   {1, 0, time.Second, true, 0, false, false},
		"the far side asks for more than left": {1, time.Hour, time.Minute, true, 0, false, false},
		"nothing is left":                      {1, 0, -time.Second, true, 0, false, false},
	} {
		delay, jittered, ok := r.Next(tt.attempts, tt.after, tt.left, tt.limited)
		if delay != tt.delay || jittered != tt.jittered || ok != tt.ok {
			t.Errorf("%s: %v, %v, %v", name, delay, jittered, ok)
		}
	}
}
