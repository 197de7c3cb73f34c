package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// A message goes out, its file with it, and the Platform API tells how its delivery stands.
func TestDev_FilesAndLogs(t *testing.T) {
	t.Parallel()
	p := clitest.StartDev(t, run, "--set", "redox.offload.enabled=true", "--quota", "50", "--per", "5s")
	file := filepath.Join(t.TempDir(), "media.json")
	content := base64.StdEncoding.EncodeToString(make([]byte, 500_000))
	message := `{"Meta":{"DataModel":"Media","EventType":"New","Destinations":[{"ID":"d"}]},"Media":{"FileContents":"` + content + `"}}`
	if err := os.WriteFile(file, []byte(message), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(want int, args ...string) string {
		t.Helper()
		a, out, errs := clitest.App(append(args, "--config", p.Config)...)
		if code := run(t.Context(), *a); code != want {
			t.Fatalf("%s: exit %d: %s", args[0], code, errs)
		}
		return out.String()
	}
	sent := command(cli.ExitOK, "send", "--source", "clinic-a", "--wait", file)
	var reply struct {
		Meta struct{ Logs []struct{ ID string } }
	}
	if err := json.Unmarshal([]byte(sent), &reply); err != nil || len(reply.Meta.Logs) != 1 {
		t.Fatalf("%v: %s", err, sent)
	}
	id := reply.Meta.Logs[0].ID
	path := "v1/organizations/" + p.Organization + "/logs/" + id
	told := command(cli.ExitOK, "request", "--source", "platform", "--kind", "platform", "--method", "GET", "--path", path)
	if !strings.Contains(told, `"attempts":{"total":1,"latest":{"status":"succeeded"}}`) {
		t.Errorf("the log: %s", told)
	}
	var blobs []redoxsim.Blob
	response, err := http.Get(p.Redox + "/_sim/blobs")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&blobs); err != nil || len(blobs) != 1 || blobs[0].Size != 500_000 || blobs[0].Uses != 1 {
		t.Errorf("files %+v, %v", blobs, err)
	}
	var quota struct{ Quota redoxsim.Quota }
	if response, err = http.Get(p.Redox + "/_sim/quota"); err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&quota); err != nil || quota.Quota != (redoxsim.Quota{Limit: 50, Per: 5 * time.Second}) {
		t.Errorf("%+v, %v", quota, err)
	}
	if code := p.Stop(); code != cli.ExitOK {
		t.Errorf("exit %d: %s", code, p.Errs)
	}
}

// Each command that dev prints works as it is printed.
func TestDev_PrintedCommandsWork(t *testing.T) {
	t.Parallel()
	a, out, errs := clitest.App("dev", "--nats-listen", "127.0.0.1:0", "--sim-listen", "127.0.0.1:0", "--admin-listen", "off", "--console-listen", "off")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, *a) }()
	clitest.Eventually(t, "dev is ready", func() bool { return strings.Contains(out.String(), "\nready\n") }, errs.String)
	tried, id := 0, ""
	for line := range strings.Lines(out.String()) {
		command, found := strings.CutPrefix(line, "  go run ./cmd/redoxworker ") // as the program of a test is called
		if !found {
			continue
		}
		b, told, why := clitest.App(strings.Fields(strings.ReplaceAll(command, "LOG-ID", id))...)
		if code := run(ctx, *b); code != cli.ExitOK {
			t.Errorf("%s: exit %d: %s", command, code, why)
		}
		if _, ids, found := strings.Cut(why.String(), ", log ids "); found {
			id = strings.TrimSpace(ids)
		}
		if tried++; strings.HasPrefix(command, "log ") && !strings.Contains(told.String(), "succeeded") {
			t.Errorf("%s: %s", command, told)
		}
	}
	if tried < 6 {
		t.Errorf("%d commands: %s", tried, out)
	}
	cancel()
	if code := <-ended; code != cli.ExitOK || errs.String() != "" {
		t.Errorf("exit %d, %s", code, errs)
	}
}
