package bench

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// The harms of a few sources, small: each is told, nothing is lost, and everybody else delivers.
// How long that takes depends on what else the machine does.
func TestBenchHarm_IsToldAndLosesNothing(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runBench(t.Context(), t, "bench", "harm", "503", "key", "head", "--json", "--sources", "4", "--rate", "40", "--duration", "1s",
		"--many", "200", "--some", "24", "--latency", "5ms")
	var results []harmResult
	if err := json.Unmarshal([]byte(stdout), &results); err != nil || len(results) != 3 {
		t.Fatalf("exit %d: %s: %v: %s", code, stderr, err, stdout)
	}
	for i, more := range []int{24, 24, 201} {
		r := results[i]
		if !r.kept() || r.Delivered != 80+more || r.Published != r.Delivered || r.Before.Sends.Messages != 15 || r.During.Requests.P99 <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if r := results[1]; !strings.Contains(r.Readyz, "key:own") || !strings.Contains(r.Status, "key:own") {
		t.Errorf("%+v", r)
	}
	shown := harmTable(results)
	for _, want := range []string{"REQUEST p99 ms", "head", "\n  status   ", "; paused key:own; "} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
	if code != cli.ExitOK {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestBenchBurst_KeepsToTheWindow(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runBench(t.Context(), t, "bench", "burst", "--json", "--messages", "100", "--sources", "4", "--rest", "0s", "--requests", "10", "--latency", "5ms")
	var r burstResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != cli.ExitOK {
		t.Fatalf("exit %d: %s: %v: %s", code, stderr, err, stdout)
	}
	if r.Window < 110 || r.Window > r.Limit || r.Refused > 0 || r.Ratio <= 0 || r.Quota.Idle.Messages != 10 || r.Quota.Busy.Messages == 0 || r.Quota.Busy.Missing > 0 {
		t.Errorf("%+v", r)
	}
}

func TestBenchHarm_BadFlagsAreUsageErrors(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"harm nonsense": `there is no "nonsense"`, "harm --sources 2": "--sources: 2", "harm --rate 0": "--rate: 0", "harm --many 0": "--many: 0", "harm --some 0": "--some: 0",
		"harm --duration 0s": "--duration: 0s", "harm --latency 1m": "--latency: 1m", "harm --patience 0s": "--patience: 0s", "harm --quota x": "--quota",
		"burst --messages 0": "--messages: 0", "burst --sources 2": "--sources: 2", "burst --requests 0": "--requests: 0", "burst --rest=-1s": "--rest",
	} {
		code, stdout, stderr := runBench(t.Context(), t, append([]string{"bench"}, strings.Fields(args)...)...)
		if code != cli.ExitUsage || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", args, code, stdout, stderr)
		}
	}
}

// What is lost, doubled or out of order is counted as that.
func TestHarmCount_Disorder(t *testing.T) {
	t.Parallel()
	c := &harmCount{from: 1, scene: &scene{traffic: &sceneTraffic{all: make([]sceneMessage, 6)}}}
	for i := 1; i <= 4; i++ {
		c.scene.traffic.all[i].order = []string{"a", "b"}[i%2]
	}
	at := func(key string, begin uint64) redoxsim.Arrival {
		return redoxsim.Arrival{Key: key, Begin: begin, Finish: begin + 1, Accepted: true}
	}
	good := []redoxsim.Arrival{at("2", 1), at("3", 3), at("1", 5), at("4", 7), at("0", 9), at("5", 10), at("5", 11), at("token", 12)}
	good[1].Accepted = false // refused: its successor may not be taken before, but was not
	if n := c.disorder(good[:2]); n != 0 {
		t.Errorf("%d in order", n)
	}
	if n := c.disorder([]redoxsim.Arrival{at("4", 1), at("2", 3)}); n != 1 {
		t.Errorf("%d of 1 out of order", n)
	}
	if n := c.disorder([]redoxsim.Arrival{at("1", 1), at("3", 1)}); n != 1 {
		t.Errorf("%d of 1 beside another", n)
	}
}

func TestHarmNamed(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"paused        source:bench-1 next probe in 3s": true, "bench-1: 3 messages being sent": true, "dest:bench-1:big-clinic": true, "bench-1  send  3  4": true,
		"source:bench-11 next probe in 3s": false, "bench-10: 3 messages": false, "": false,
	} {
		if got := saysOf([]string{line}, harmKind{source: 1}) != ""; got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

func TestBenchHarms_AreComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, h := range allHarms() {
		if seen[h.name] || h.about == "" || !strings.Contains(harmCommand{}.Help(), h.name) {
			t.Errorf("%+v", h)
		}
		seen[h.name] = true
	}
	m := (&sceneTraffic{inbox: "_INBOX.x", token: "x"}).message(sceneKind{source: 1, lane: contract.LaneRequest, durable: true}, 7)
	if m.ReplyTo != "redox.reply.bench-1.x.7" || !json.Valid(m.Body) {
		t.Errorf("%+v", m)
	}
	if l := (&sceneTraffic{all: []sceneMessage{{sent: time.Now()}}}).latency(0, 1, 5, false); l.Missing != 1 || l.Messages != 1 {
		t.Errorf("%+v", l)
	}
}
