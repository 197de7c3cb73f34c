package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/worker/workertest/nodejs"
)

const serverDir = "testdata/fhir-server"

// build makes the command once.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "redoxworker")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/redoxworker")
	cmd.Dir, cmd.Stderr = "../../..", os.Stderr
	return binary, cmd.Run()
})

func TestMain(m *testing.M) {
	binary, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, "the command cannot be built:", err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(filepath.Dir(binary))
	os.Exit(code)
}

// servers is where the FHIR server and its authorization server are.
type servers struct{ Base, Token string }

// startServers runs both in a Node process, with one client that has the key.
func startServers(t *testing.T, k auth.Key) (s servers) {
	t.Helper()
	set, err := auth.JWKS(k)
	if err != nil {
		t.Fatal(err)
	}
	client, err := json.Marshal(map[string]any{
		"client_id": "client-1", "jwks": json.RawMessage(set), "scope": "system/Patient.cruds",
		"grant_types": []string{"client_credentials"}, "redirect_uris": []string{}, "response_types": []string{},
		"token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": string(k.Algorithm()),
	})
	if err != nil {
		t.Fatal(err)
	}
	line := nodejs.Start(t, serverDir, "server.mjs", "CLIENT="+string(client))
	if err := json.Unmarshal([]byte(line), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// fleet is NATS and a worker that runs with deploy/fhir-server.yaml, but for where things are.
type fleet struct {
	t     *testing.T
	dir   string
	flags []string
}

func startFleet(t *testing.T) fleet {
	t.Helper()
	key, err := auth.GenerateKey(auth.ES384, "kid-1")
	if err != nil {
		t.Fatal(err)
	}
	pem, err := key.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	far := startServers(t, key)
	nats, err := natsdev.Start(natsdev.Options{Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nats.Shutdown() })
	f := fleet{t, t.TempDir(), []string{
		"--config", "fhir-server.yaml", "--set", "admin.listen=off", "--server", nats.URL(),
		"--set", "redox.base_url=" + far.Base, "--set", "redox.token_url=" + far.Token, "--set", "redox.fhir_path=/4_0_1/",
		"--set", "keys.ehr.client_id=client-1", "--set", "keys.ehr.kid=kid-1", "--set", "keys.ehr.scope=system/Patient.cruds",
	}}
	sample, err := os.ReadFile("../../../deploy/fhir-server.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f.write("fhir-server.yaml", string(sample))
	f.write("ehr-key", string(pem))
	f.run("provision")
	worker := f.command("run")
	worker.Stdout, worker.Stderr = os.Stderr, os.Stderr
	worker.Cancel = func() error { return nil } // it is told when the test is over
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = worker.Process.Signal(syscall.SIGTERM)
		if err := worker.Wait(); worker.ProcessState.ExitCode() != 0 {
			t.Errorf("the worker's end: %v", err)
		}
	})
	return f
}

func (f fleet) write(file, text string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.dir, file), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

func (f fleet) command(args ...string) *exec.Cmd {
	binary, err := build()
	if err != nil {
		f.t.Fatal(err)
	}
	cmd := exec.CommandContext(f.t.Context(), binary, append(args, f.flags...)...)
	cmd.Dir = f.dir
	return cmd
}

// run runs the command to its end and returns what it printed, and its exit code.
func (f fleet) run(args ...string) (stdout, stderr string, code int) {
	f.t.Helper()
	var out, bad bytes.Buffer
	cmd := f.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &bad
	if err := cmd.Run(); err != nil {
		if _, ended := errors.AsType[*exec.ExitError](err); !ended {
			f.t.Fatal(err)
		}
	}
	return out.String(), bad.String(), cmd.ProcessState.ExitCode()
}
