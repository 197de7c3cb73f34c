package redox

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
)

// secrets are in the message, the token or the answers, and must be nowhere else.
var secrets = []string{"Timothy", "Bixby", "1977-01-06", "MRN-4711", "s3cret-token", "order-key"}

func TestPrivacy_LogsAndErrors(t *testing.T) {
	t.Parallel()
	body := strings.Replace(event, "Timothy", "Timothy Bixby 1977-01-06 MRN-4711", 1)
	var log bytes.Buffer
	answer := respond(200, "")
	r := serve(t, func(w http.ResponseWriter, a arrival) { answer(w, a) })
	c := client(t, r.URL, fixed("s3cret-token"), func(c *Config, _ *Source) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	patient := `{"Meta":{"Errors":[{"Type":"Timothy Bixby","Module":"MRN-4711 x","Text":"1977-01-06"}],"Logs":[{"ID":"Timothy Bixby"}]}}`
	var texts []string
	for _, status := range []int{200, 302, 400, 401, 404, 429, 500, 504} {
		answer = respond(status, patient, "Location", "/Timothy", "Retry-After", "Timothy", "Redox-Trace-Id", "Timothy Bixby", "Content-Type", "text/plain")
		for _, lane := range []outbox.Lane{outbox.LaneSend, outbox.LaneRequest} {
			m := message(lane, body)
			m.OrderKey = "order-key"
			a, err := c.Deliver(t.Context(), m)
			texts = append(texts, a.Flag, fmt.Sprint(a.LogIDs))
			if err != nil {
				e := failure(t, err)
				texts = append(texts, err.Error(), e.SafeError(), fmt.Sprintf("%v %+v %#v %q", err, err, err, err))
			}
		}
	}
	answer = func(http.ResponseWriter, arrival) { panic(http.ErrAbortHandler) }
	_, err := c.Deliver(t.Context(), message(outbox.LaneSend, body))
	_, poisoned := c.Deliver(t.Context(), message(outbox.LaneSend, body[:len(body)-8]))
	texts = append(texts, fmt.Sprintf("%+v %#v", err, err), fmt.Sprintf("%+v %#v", poisoned, poisoned), log.String())
	for _, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %q", secret, text)
			}
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 19 { // 8 statuses twice, two resends, one reset
		t.Errorf("%d log records", lines)
	}
	for _, want := range []string{`"source":"clinic-a"`, `"message_id":"m-1"`, `"status":404`, `"connection_reused":true`, `"took":`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log", want)
		}
	}
}

func TestPrivacy_NothingIsLoggedAboveDebug(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := serve(t, respond(500, "Timothy"))
	c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	_, _ = c.Deliver(t.Context(), message(outbox.LaneSend, event))
	if log.Len() != 0 {
		t.Error(log.String())
	}
}
