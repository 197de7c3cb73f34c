package redox

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
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
		for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
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
	_, err := c.Deliver(t.Context(), message(contract.LaneSend, body))
	_, poisoned := c.Deliver(t.Context(), message(contract.LaneSend, body[:len(body)-8]))
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

func TestPrivacy_PathsAndFiles(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	answer := respond(200, "")
	r := serve(t, func(w http.ResponseWriter, a arrival) { answer(w, a) })
	c := client(t, r.URL, fixed("s3cret-token"), func(c *Config, _ *Source) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Offload = Offload{Enabled: true, Over: 100, Uploads: &notes{keepError: errors.New("down")}}
	})
	outcome := `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"Timothy Bixby","diagnostics":"MRN-4711"}],"URI":"https://b/Timothy"}`
	media := strings.Replace(event, "PatientAdmin", "Media", 1)
	media = media[:len(media)-1] + `,"Media":{"FileName":"Timothy","FileType":"Bixby","FileContents":"` + strings.Repeat("QUJD", 100) + `"}}`
	messages := []outbox.Message{
		fhir(contract.LaneSend, "GET", "slug/Development/Patient/MRN-4711?name=Bixby", ""),
		fhir(contract.LaneSend, "POST", "slug/Development/Patient/_search?birthdate=1977-01-06", "family=Bixby"),
		fhir(contract.LaneSend, "GET", "slug/Production/Patient/MRN-4711", ""),
		fhir(contract.LaneSend, "GET", "slug/../Patient/MRN-4711", ""),
		fileMessage("application/pdf; name=Timothy", []byte("Timothy Bixby")),
		message(contract.LaneSend, media),
		fhir(contract.LaneSend, "POST", "slug/Development/Media/MRN-4711", `{"resourceType":"Media","content":{"title":"Bixby","contentType":"Timothy","data":"`+strings.Repeat("QUJD", 100)+`"},"a":{"data":"`+strings.Repeat("QUJD1a", 100)+`"}}`),
		fhir(contract.LaneSend, "POST", "slug/Development/Media/MRN-4711", `{"resourceType":"Media","content":{"data":"Timothy Bixby`+strings.Repeat("!", 100)+`"}}`),
	}
	var texts []string
	for _, status := range []int{200, 404, 500, 504} {
		answer = respond(status, outcome, "Content-Type", "text/plain")
		for _, m := range messages {
			a, err := c.Deliver(t.Context(), m)
			texts = append(texts, a.Flag, fmt.Sprintf("%v %+v %#v", err, err, err))
		}
	}
	answer = func(http.ResponseWriter, arrival) { panic(http.ErrAbortHandler) }
	for _, m := range messages {
		_, err := c.Deliver(t.Context(), m)
		texts = append(texts, fmt.Sprintf("%+v %#v", err, err))
	}
	r.Close()
	for _, m := range messages {
		_, err := c.Deliver(t.Context(), m)
		texts = append(texts, fmt.Sprintf("%+v %#v", err, err))
	}
	if texts = append(texts, log.String()); !strings.Contains(log.String(), `"status":404`) {
		t.Error("nothing was logged")
	}
	for _, text := range texts {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %q", secret, text)
			}
		}
	}
}

// net/http quotes in the standard logger what it finds on an idle connection.
func TestPrivacy_NoConnectionIsKeptAfterAHead(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, patient))
	c := client(t, r.URL, &keyring{})
	for range 2 {
		if _, err := c.Deliver(t.Context(), fhir(contract.LaneRequest, "HEAD", "slug/Development/Patient/p-1", "")); err != nil {
			t.Fatal(err)
		}
	}
	if seen := r.seen(); len(seen) != 2 || seen[0].remote == seen[1].remote {
		t.Errorf("%d requests on one connection", len(seen))
	}
}

func TestPrivacy_NothingIsLoggedAboveDebug(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	r := serve(t, respond(500, "Timothy"))
	c := client(t, r.URL, &keyring{}, func(c *Config, _ *Source) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	_, _ = c.Deliver(t.Context(), message(contract.LaneSend, event))
	if log.Len() != 0 {
		t.Error(log.String())
	}
}
