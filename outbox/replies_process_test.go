package outbox

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/outboxtest"
	"github.com/redoxworker/redoxworker/outbox/internal/streams"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// repliesServer has this test binary read replies from a server, in the place of tests, and write
// what it has handled to the file of repliesFile.
const repliesServer, repliesFile = "OUTBOX_REPLIES_SERVER", "OUTBOX_REPLIES_FILE"

// readReplies is a process of TestReplies_ProcessesThatAreKilled. It ends when it is killed.
func readReplies() error {
	nc, err := nats.Connect(os.Getenv(repliesServer), nats.MaxReconnects(-1))
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	replies, err := NewReplies(js, RepliesConfig{Source: "clinic-a", AckWait: 500 * time.Millisecond})
	if err != nil {
		return err
	}
	handled, err := os.OpenFile(os.Getenv(repliesFile), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	for reply, err := range replies.All(context.Background()) {
		if err != nil {
			continue
		}
		if _, err := fmt.Fprintf(handled, "%s %d\n", reply.MessageID, reply.Deliveries); err != nil {
			return err
		}
	}
	return nil
}

// Three processes share the replies of a source, and one after the other is killed: each reply is
// handled, none before one of the same order key that was stored earlier, and none twice but
// those that a process had in hand.
func TestReplies_ProcessesThatAreKilled(t *testing.T) {
	t.Parallel()
	const messages, keys, kills = 10_000, 40, 6
	r := rig{outboxtest.With(t, natsdev.Options{Port: -1})}
	r.Provision(streams.Set{Names: contract.Prefix("")})
	file := filepath.Join(t.TempDir(), "handled")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	start := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env, cmd.Stderr = append(os.Environ(), repliesServer+"="+r.JS.Conn().ConnectedUrl(), repliesFile+"="+file), os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	var fleet []*exec.Cmd
	for range 3 {
		fleet = append(fleet, start())
	}
	stop := func(cmd *exec.Cmd) {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(func() {
		for _, cmd := range fleet {
			stop(cmd)
		}
	})
	luck := rand.New(rand.NewPCG(1, 2))
	for i := range messages {
		reply := Reply{MessageID: fmt.Sprintf("k%d-%d", i%keys, i), Settlement: Delivered}
		if _, err := r.JS.PublishMsgAsync(reply.Encode(contract.Prefix("").ReplySubject("clinic-a", reply.MessageID))); err != nil {
			t.Fatal(err)
		}
		if i%500 == 0 {
			<-r.JS.PublishAsyncComplete()
		}
	}
	<-r.JS.PublishAsyncComplete()
	lines := func() []string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(strings.ReplaceAll(string(text), " ", "/"))
	}
	for killed := 0; ; {
		done := len(lines())
		if killed < kills && done > (killed+1)*messages/(kills+1) {
			i := luck.IntN(len(fleet))
			stop(fleet[i])
			fleet[i] = start()
			killed++
		}
		if c, err := r.JS.Consumer(r.Ctx(), "REDOX_REPLIES", "clinic-a-replies"); err == nil {
			if info := c.CachedInfo(); info.NumPending == 0 && info.NumAckPending == 0 && done >= messages {
				break
			}
		}
	}
	seen, newest, twice := map[string]bool{}, map[string]int{}, 0
	for line := range strings.Lines(strings.Join(lines(), "\n")) {
		var key, n, deliveries int
		if _, err := fmt.Sscanf(line, "k%d-%d/%d", &key, &n, &deliveries); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		id := fmt.Sprint(key, n)
		switch before, some := newest[fmt.Sprint(key)]; {
		case seen[id]:
			twice++
		case some && n < before:
			t.Errorf("reply %d of key %d was handled after %d", n, key, before)
		default:
			newest[fmt.Sprint(key)] = n
		}
		seen[id] = true
	}
	if len(seen) != messages || twice > kills {
		t.Errorf("%d of %d were handled, %d of them twice by %d kills", len(seen), messages, twice, kills)
	}
	t.Logf("%d replies, %d processes, %d killed: %d handled, %d twice", messages, len(fleet), kills, len(seen), twice)
}
