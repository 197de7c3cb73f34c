package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

const readersID = "7ce6f387-c33c-417d-8682-81e83628cbd9"

// readersInputs are bodies of data-model messages, what the command and the worker say of
// them ("" when they take them), and whether the simulator takes what the worker sends, or
// would send.
func readersInputs() map[string]struct {
	body, refused string
	simTakes      bool
} {
	const good = `{"Meta":{"DataModel":"Notes","EventType":"New","Source":{"ID":"` + readersID + `"},"Destinations":[{"ID":"d"}]},"Note":{"Text":"better"}}`
	with := func(old, new string) string { return strings.Replace(good, old, new, 1) }
	deep := func(n int) string {
		return with(`"better"`, strings.Repeat("[", n)+strings.Repeat("]", n))
	}
	return map[string]struct {
		body, refused string
		simTakes      bool
	}{
		"plain":                    {good, "", true},
		"white space around":       {" \r\n\t" + good + "\n", "", true},
		"byte order mark":          {"\ufeff" + good, "", true},
		"mark and white space":     {"\ufeff\n" + good, "", true},
		"two marks":                {"\ufeff\ufeff" + good, "at byte 1", false},
		"a mark inside a text":     {with("better", "\ufeffbetter"), "", true},
		"half a surrogate pair":    {with("better", `better \ud83d`), "", true},
		"the other half":           {with("better", `\uDE00 better`), "", true},
		"a half in a name":         {with(`"Text"`, `"\ud800"`), "", true},
		"a pair":                   {with("better", `\ud83d\ude00`), "", true},
		"a name twice":             {with(`"Text"`, `"Text":1,"Text"`), "", true},
		"nested as deep as may be": {deep(9_998), "", true},
		"nested one deeper":        {deep(9_999), "nested deeper than 10000", false},
		"nested far deeper":        {deep(20_000), "nested deeper than 10000", false},
		"a bomb":                   {strings.Repeat("[", 100_000), "nested deeper than 10000", false},
		"brackets in a text":       {with("better", strings.Repeat(`[{\"`, 20_000)), "", true},
		"NaN":                      {with(`"better"`, "NaN"), "not valid JSON", false},
		"Infinity":                 {with(`"better"`, "-Infinity"), "not valid JSON", false},
		"a leading zero":           {with(`"better"`, "01"), "not valid JSON", false},
		"a large number":           {with(`"better"`, "1e999"), "", true},
		"trailing data":            {good + "x", "not valid JSON", false},
		"two values":               {good + good, "not valid JSON", false},
		"a comma at the end":       {with(`"better"}`, `"better",}`), "not valid JSON", false},
		"a comment":                {with(`"better"`, `/**/"better"`), "not valid JSON", false},
		"single quotes":            {with(`"better"`, `'better'`), "not valid JSON", false},
		"a control character":      {with("better", "a\x01b"), "not valid JSON", false},
		"a bad escape":             {with("better", `\x`), "not valid JSON", false},
		"cut off":                  {good[:len(good)-1], "not valid JSON", false},
		"UTF-16":                   {"\xff\xfe{\x00}\x00", "UTF-16", false},
		"UTF-16 without a mark":    {"{\x00}\x00", "UTF-16", false},
		"an array":                 {"[" + good + "]", "not a JSON object", false},
		"empty":                    {"", "the body is empty", false},
		"a mark alone":             {"\ufeff", "the body is empty", false},
	}
}

// Whoever reads a message takes and refuses the same, with the same words: the command for one
// message and for lines, and the worker; and the simulator takes what the worker takes.
func TestReaders_JSON(t *testing.T) {
	t.Parallel()
	sim := &redoxsim.Server{}
	sim.AddSource(redoxsim.Source{ID: readersID})
	ts := httptest.NewServer(sim)
	t.Cleanup(ts.Close)
	c := readersClient(t, sim, ts.URL)
	for name, tt := range readersInputs() {
		agree := func(reader string, err error) {
			t.Helper()
			if tt.refused == "" && err != nil || tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)) {
				t.Errorf("%s: the %s says %v, want %q", name, reader, err, tt.refused)
			}
		}
		flags := messageFlags{Kind: string(outbox.KindDataModel)}
		agree("command", flags.checkBody([]byte(tt.body)))
		if !strings.ContainsAny(tt.body, "\n") && tt.body != "" {
			agree("command for lines", oneLine(t, tt.body))
		}
		m := outbox.Message{ID: "m", Source: "clinic-a", Lane: contract.LaneSend, Kind: outbox.KindDataModel, Body: []byte(tt.body)}
		_, err := c.Deliver(t.Context(), m)
		agree("worker", err)
		if tt.body == "" {
			continue
		}
		if got := askSimulator(t, sim, ts.URL, strings.TrimPrefix(tt.body, "\ufeff")); (got == http.StatusOK) != tt.simTakes {
			t.Errorf("%s: the simulator answers %d", name, got)
		}
	}
}

// Source IDs are UUIDs, and so the same in either case.
func TestReaders_SourceID(t *testing.T) {
	t.Parallel()
	for _, registered := range []string{readersID, strings.ToUpper(readersID)} {
		sim := &redoxsim.Server{RequireSource: true}
		sim.AddSource(redoxsim.Source{ID: registered, Environment: "Development"})
		ts := httptest.NewServer(sim)
		t.Cleanup(ts.Close)
		c := readersClient(t, sim, ts.URL)
		for _, id := range []string{readersID, strings.ToUpper(readersID), ""} {
			m := outbox.Message{ID: "m", Source: "clinic-a", Lane: contract.LaneSend, Kind: outbox.KindDataModel,
				Body: []byte(`{"Meta":{"DataModel":"Notes","EventType":"New","Source":{"ID":"` + id + `"},"Destinations":[{"ID":"d"}]}}`)}
			if a, err := c.Deliver(t.Context(), m); err != nil {
				t.Errorf("%q at %q: %v, %s", id, registered, err, a.Body)
			}
		}
		m := outbox.Message{ID: "f", Source: "clinic-a", Lane: contract.LaneRequest, Kind: outbox.KindFHIR, Method: "GET", Path: "h/Development/Patient/1"}
		if a, err := c.Deliver(t.Context(), m); err != nil {
			t.Errorf("fhir at %q: %v, %s", registered, err, a.Body)
		}
	}
}

type simulatorToken string

func (s simulatorToken) Bearer(context.Context) (string, error) { return string(s), nil }
func (simulatorToken) Invalidate(string)                        {}

func readersClient(t *testing.T, sim *redoxsim.Server, url string) *redox.Client {
	t.Helper()
	c, err := redox.New(map[string]redox.Source{"clinic-a": {ID: readersID, Key: "main", Environment: "development"}},
		map[string]redox.Credentials{"main": simulatorToken(sim.NewToken("c", 0))}, redox.Config{BaseURL: url, BlobURL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// oneLine is what `send --ndjson` says of a line.
func oneLine(t *testing.T, line string) error {
	t.Helper()
	b, _, stderr := batchOf(sendCommand{}, new(shelf))
	b.limit = 10_000_000
	if err := b.run(t.Context(), strings.NewReader(line+"\n")); err != nil {
		return err
	}
	if b.failed > 0 {
		return errors.New(stderr.String())
	}
	return nil
}

func askSimulator(t *testing.T, sim *redoxsim.Server, url, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+redoxsim.PathEndpoint, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+sim.NewToken("c", 0))
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
