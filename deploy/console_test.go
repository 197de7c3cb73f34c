package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/topology"
	webconsole "github.com/redoxworker/redoxworker/worker/console"
	"github.com/redoxworker/redoxworker/worker/console/access"
	"github.com/redoxworker/redoxworker/worker/service/natslink"
)

// consoleOf is a console over the connection that the settings of a worker give it, in which everybody is an
// admin, and what the server refuses to it.
func consoleOf(t *testing.T, flags map[string]any) (pages http.Handler, refused func() []string) {
	t.Helper()
	c, err := config.Load(config.Options{Flags: flags, Skip: config.PartKeys | config.PartSources | config.PartOrderSecret})
	if err != nil {
		t.Fatal(err)
	}
	conn, js, err := natslink.Connect(t.Context(), c.ForConsole(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	var mu sync.Mutex
	var said []string
	conn.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, err.Error())
	})
	h, err := webconsole.New(webconsole.Config{JS: js, Topology: topology.Topology{Registry: true}, Guard: func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			u := access.User{Name: "ada", Grants: []access.Grant{{Role: access.Admin, Sources: []string{"*"}}}}
			next.ServeHTTP(w, r.WithContext(access.With(r.Context(), u)))
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h, func() []string {
		_ = conn.FlushTimeout(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		return said
	}
}

// askConsole asks a console for JSON, with a form where there is one.
func askConsole(t *testing.T, pages http.Handler, path, form string) (int, string) {
	t.Helper()
	method := http.MethodGet
	if form != "" {
		method = http.MethodPost
	}
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form))
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, r)
	text, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, string(text)
}

// A console beside a worker shows and does everything with the user console of accounts.conf, which
// console.nats names; the user of the workers is not enough for it.
func TestConsole_HasAUserOfItsOwn(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	js := provision(t, srv, topology.Topology{Registry: true})
	for i := range 3 {
		l := dlq.Letter{MessageID: fmt.Sprint("m-", i), Source: clinicA, Settlement: outbox.Rejected, Error: "status 400", Status: 400, Attempts: 1, At: time.Now(), Subject: "redox.out.clinic-a.send", Sequence: uint64(i + 1), Worker: "w", Body: []byte("{}")}
		if _, err := js.PublishMsg(t.Context(), l.Encode("")); err != nil {
			t.Fatal(err)
		}
	}
	flags := map[string]any{"nats.url": srv.ClientURL(), "nats.user": workerUser, "nats.password": passwords[workerUser], "nats.inbox_prefix": "_INBOX_worker", "registry": true}
	pages, refused := consoleOf(t, flags)
	if status, _ := askConsole(t, pages, "/dead/1/reveal", "reason=x"); status != http.StatusServiceUnavailable || len(refused()) == 0 {
		t.Errorf("with the user of the workers: %d, refused %q", status, refused())
	}
	for key, value := range map[string]any{"user": console, "password": passwords[console], "inbox_prefix": "_INBOX_console"} {
		flags["console.nats."+key] = value
	}
	pages, refused = consoleOf(t, flags)
	for _, path := range []string{"/", "/dead", "/dead/1", "/dead/1/shape", "/replays", "/order", "/order/held", "/sources", "/keys", "/workers", "/outbox", "/audit"} {
		if status, body := askConsole(t, pages, path, ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	id := "source_id=7ce6f387-c33c-417d-8682-81e83628cbd9"
	for _, deed := range [][2]string{
		{"/pause", "source=clinic-a"}, {"/resume", "source=clinic-a"}, {"/dead/1/reveal", "x=1"}, {"/dead/1/send", "body=" + url.QueryEscape(`{"a":1}`)}, {"/dead/export", "action=export-all&bodies=1"},
		{"/replays", "action=replay&chosen=2&count=1&through=3"}, {"/replays", "action=discard&chosen=3&count=1&through=3"}, {"/sources", "name=clinic-c&key=main&" + id}, {"/sources/clinic-c/remove", "revision=1"},
	} {
		status, body := askConsole(t, pages, deed[0], deed[1]+"&reason=test")
		if status != http.StatusOK {
			t.Errorf("%s: %d %s", deed[0], status, body)
		}
		var job struct{ ID, State, Error string }
		for deed[0] == "/replays" && json.Unmarshal([]byte(body), &job) == nil && job.State == "running" && t.Context().Err() == nil {
			_, body = askConsole(t, pages, "/replays/"+job.ID, "")
		}
		if job.Error != "" {
			t.Errorf("%s: %+v", deed[0], job)
		}
	}
	if _, trail := askConsole(t, pages, "/audit", ""); strings.Count(trail, `"outcome":"done"`) != 9 {
		t.Errorf("the trail:\n%s", trail)
	}
	if left := messages(t, js, "REDOX_DLQ"); left != 0 {
		t.Errorf("%d dead letters are left", left)
	}
	if all := refused(); len(all) != 0 {
		t.Errorf("refused: %q", all)
	}
}
