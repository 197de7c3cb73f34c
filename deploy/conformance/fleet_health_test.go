package conformance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// health asks a server as its probe in production does.
func (f *fleet) health(ctx context.Context, srv *server.Server, query string) (status int, text string) {
	f.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/healthz%s", srv.MonitorAddr(), query), http.NoBody)
	f.must(err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(page)
}

// healthy reports whether each server has caught up with all of its streams and consumers.
func (f *fleet) healthy(ctx context.Context) bool {
	f.Helper()
	for _, srv := range f.servers {
		if status, _ := f.health(ctx, srv, ""); status != http.StatusOK {
			return false
		}
	}
	return true
}

// explain says once, where the test failed, what everybody was at.
func (f *fleet) explain() {
	if f.Failed() {
		f.told.Do(f.tell)
	}
}

func (f *fleet) tell() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i, srv := range f.servers {
		if !srv.Running() {
			f.Logf("%s is stopped", srv.Name())
			continue
		}
		_, text := f.health(ctx, srv, "?details=true")
		f.Logf("%s: %s\n%s%s", srv.Name(), text, ailing(srv), f.warned[i].end())
	}
	f.mu.Lock()
	taken := len(f.taken)
	f.Logf("%d promised, %d of them taken, %d were refused to publishers, the last of them: %v", len(f.promised), taken, f.refused, f.refusal)
	f.mu.Unlock()
	for i, m := range f.workers.all() {
		f.Logf("the end of worker %d: %s", i, end(m.log()))
	}
	f.Logf("the end of the relay: %s", end(f.relay.log()))
}

// end is the last lines of a log.
func end(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
}
