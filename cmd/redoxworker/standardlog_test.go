package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// An answer that is longer than it says: net/http finds the rest on the idle connection.
func TestMain_ShowsNothingOfAnAnswer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	const answer = `{"access_token":"abc","token_type":"Bearer","expires_in":300}`
	var running sync.WaitGroup
	running.Go(func() {
		for first := true; ; first = false {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			q, err := http.ReadRequest(r)
			if err == nil {
				_, err = io.Copy(io.Discard, q.Body)
			}
			if err == nil && first {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sTimothy Bixby", len(answer), answer)
				_, _ = r.ReadByte() // until the client has found the rest and hung up
			} else if err == nil {
				fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(answer), answer)
			}
			c.Close()
		}
	})
	defer running.Wait()
	defer listener.Close()
	keys := newPrivateKeys(t, 2)
	cmd := exec.CommandContext(t.Context(), "redoxworker", "keys", "check")
	cmd.Env = append(os.Environ(), "REDOXWORKER_REDOX_BASE_URL=http://"+listener.Addr().String(), "REDOXWORKER_KEYS_MAIN_CLIENT_ID=client",
		"REDOXWORKER_KEYS_MAIN_KID=k1", "REDOXWORKER_KEYS_MAIN_PRIVATE_KEY="+keys[0],
		"REDOXWORKER_KEYS_MAIN_NEXT_KID=k2", "REDOXWORKER_KEYS_MAIN_NEXT_PRIVATE_KEY="+keys[1])
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil || strings.Count(out.String(), "ok") < 2 {
		t.Errorf("%v: %s", err, out.String())
	}
	if errs.Len() > 0 {
		t.Errorf("stderr: %s", errs.String())
	}
}
