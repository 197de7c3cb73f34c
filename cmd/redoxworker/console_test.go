package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
)

// askConsole asks for JSON, with a form where there is one.
func askConsole(t *testing.T, address, token string, form url.Values) (status int, body string) {
	t.Helper()
	method, sent := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, sent = http.MethodPost, strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), method, address, sent)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// The console tells programs what the command prints with --json, to the byte where that does not
// change by itself; console.listen has run serve it, and the command console serves it to who has the
// token that it prints.
func TestConsole_TellsWhatTheCommandPrints(t *testing.T) {
	t.Parallel()
	dev := clitest.StartDev(t, run)
	defer dev.Stop()
	nc, err := nats.Connect(dev.NATS)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for range 3 {
		if _, err := nc.Request("redox.out.clinic-a.send", []byte(`{"Meta":{"DataModel":"Order"},"Patient":{"Name":"Planted"}}`), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	clitest.Eventually(t, "three dead letters", func() bool {
		_, body := askConsole(t, dev.Console+"dead", "", nil)
		return strings.Count(body, "\n") == 3
	}, dev.Errs.String)
	command := func(args ...string) string {
		a, out, errs := clitest.App(append(args, "--json", "--config", dev.Config)...)
		if code := run(t.Context(), *a); code != 0 {
			t.Fatalf("%v: %d %s", args, code, errs)
		}
		return out.String()
	}
	var first struct{ ID string }
	if _, body := askConsole(t, dev.Console+"dead/1", "", nil); json.Unmarshal([]byte(body), &first) != nil {
		t.Fatal(body)
	}
	_, revealed := askConsole(t, dev.Console+"dead/1/reveal", "", url.Values{"reason": {"why"}})
	if want := command("dlq", "show", first.ID, "--reveal", "--reason", "why"); revealed != want || !strings.Contains(want, "Planted") {
		t.Errorf("revealed %s, want %s", revealed, want)
	}
	for path, args := range map[string][]string{
		"dead": {"dlq", "ls"}, "dead?status=none&limit=2": {"dlq", "ls", "--status", "none", "--limit", "2"}, "dead/1": {"dlq", "show", first.ID}, "order": {"order", "ls"}, "order/held": {"order", "held"},
		"sources": {"sources", "ls"}, "audit": {"audit", "ls"}, "audit?action=reveal": {"audit", "ls", "--action", "reveal"},
	} {
		status, body := askConsole(t, dev.Console+path, "", nil)
		if want := command(args...); status != http.StatusOK || body != want {
			t.Errorf("%s: %d\n%s, want\n%s", path, status, body, want)
		}
	}
	fields := func(text string) []string { // none before the worker has told of itself
		var all map[string]any
		_ = json.NewDecoder(strings.NewReader(text)).Decode(&all)
		delete(all, "silent")
		return slices.Sorted(maps.Keys(all))
	}
	for path, args := range map[string][]string{"": {"status"}, "workers": {"workers"}} {
		clitest.Eventually(t, "/"+path+" has what the command prints", func() bool {
			_, body := askConsole(t, dev.Console+path, "", nil)
			got := fields(body)
			return len(got) > 0 && slices.Equal(got, fields(command(args...)))
		}, dev.Errs.String)
	}
	testConsoleBesideWorker(t, dev.Config)
	testConsoleAlone(t, dev.NATS)
}

func testConsoleBesideWorker(t *testing.T, configFile string) {
	a, _, errs := clitest.App("run", "--config", configFile, "--log-format", "json", "--set", "admin.listen=off", "--set", "console.listen=127.0.0.1:0", "--set", "console.auth=none")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, *a) }()
	address := regexp.MustCompile(`"address":"(http://[^"]*)"`)
	clitest.Eventually(t, "run serves the console", func() bool {
		found := address.FindStringSubmatch(errs.String())
		if found == nil {
			return false
		}
		status, _ := askConsole(t, found[1], "", nil)
		return status == http.StatusOK
	}, errs.String)
	if status, set := askConsole(t, address.FindStringSubmatch(errs.String())[1]+"keys/jwks.json", "", nil); status != http.StatusOK || !strings.Contains(set, `"kty"`) {
		t.Errorf("the public keys: %d %s", status, set)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("run: %d %s", code, errs)
	}
}

func testConsoleAlone(t *testing.T, server string) {
	p := clitest.Start(t, run, "\n", "console", "--json", "--server", server, "--listen", "127.0.0.1:0")
	defer p.Stop()
	var at struct{ Console, Token string }
	if err := json.Unmarshal([]byte(p.Out.String()), &at); err != nil || at.Token == "" {
		t.Fatalf("%v: %s", err, p.Out)
	}
	if status, body := askConsole(t, at.Console+"dead", at.Token, nil); status != http.StatusOK || strings.Count(body, "\n") != 3 {
		t.Errorf("%d %s", status, body)
	}
	for _, token := range []string{"", "another"} {
		if status, _ := askConsole(t, at.Console+"dead", token, nil); status != http.StatusUnauthorized {
			t.Errorf("with token %q: %d", token, status)
		}
	}
	a, _, errs := clitest.App("console", "--server", server, "--listen", "0.0.0.0:0")
	if code := run(t.Context(), *a); code != 2 || !strings.Contains(errs.String(), "console.behind_proxy") {
		t.Errorf("to everybody: %d %s", code, errs)
	}
}
