package chaos

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

var (
	long = flag.Bool("chaos.long", false, "the long version: as many runs as the guarantees are stated for")
	runs = flag.Int("chaos.runs", 0, "number of runs of each scenario, instead of that of the version")
	seed = flag.Uint64("chaos.seed", 1, "first seed")
	keep = flag.String("chaos.keep", "", "directory for the logs of failed runs")
)

// binaries are built once, in a directory that TestMain removes.
var binaries = sync.OnceValues(func() (Binaries, error) { return Build(buildDir) })

var buildDir string

// TestMain lets more tests run side by side than there are cores, unless -parallel says how
// many: most of their time they wait for processes.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(4+2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	flag.Parse()
	dir, err := os.MkdirTemp("", "redoxworker-chaos-")
	if err != nil {
		panic(err)
	}
	buildDir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// eachSeed runs a scenario once, beside others, or as often as the long version asks for.
func eachSeed(t *testing.T, full int, run func(t *testing.T, seed uint64)) {
	n := cmp.Or(*runs, 1)
	if *long {
		n = cmp.Or(*runs, full)
	} else {
		t.Parallel()
	}
	for i := range n {
		s := *seed + uint64(i)
		if !t.Run(fmt.Sprint("seed=", s), func(t *testing.T) { run(t, s) }) && *keep == "" {
			return // its logs are gone with the next one
		}
	}
}

// bench for one test.
func bench(t *testing.T, c Config) *Bench {
	t.Helper()
	var err error
	if c.Binaries, err = binaries(); err != nil {
		t.Fatal(err)
	}
	c.Dir = t.TempDir()
	b, err := New(t.Context(), c)
	t.Cleanup(func() {
		b.Close()
		if t.Failed() && *keep != "" {
			if err := os.CopyFS(filepath.Join(*keep, t.Name()), os.DirFS(c.Dir)); err != nil {
				t.Log(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flaky is a far side that answers after 80 ms, and one time in ten with 503.
func flaky(seed uint64) *redoxsim.Server {
	s := &redoxsim.Server{Latency: 80 * time.Millisecond, Seed: seed}
	s.SetRules(redoxsim.Rule{Path: redoxsim.PathEndpoint, Percent: 10, Fault: redoxsim.Fault{Status: 503}})
	return s
}

// storm publishes a load while a plan is carried out, until everything is settled, and
// checks the record.
func storm(t *testing.T, b *Bench, load []Sending, over time.Duration, p Plan) {
	t.Helper()
	t.Log(p)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	must(t, b.StartAll())
	breaking, calm := context.WithCancel(ctx)
	var faults sync.WaitGroup
	var struck error
	faults.Go(func() { struck = b.Run(breaking, p) })
	began := time.Now()
	err := b.PublishAll(ctx, load, over)
	if err == nil {
		err = b.Drained(ctx, 2*time.Minute)
	}
	calm()
	faults.Wait()
	if err != nil || struck != nil {
		t.Fatalf("%v; %v\n%s", err, struck, b.Logs(8000))
	}
	took := time.Since(began)
	must(t, b.StopAll())
	r := verify(t, b, ctx)
	t.Logf("%s in %v", r, took.Round(time.Millisecond))
}

// verify collects the record and checks it.
func verify(t *testing.T, b *Bench, ctx context.Context) Record {
	t.Helper()
	r, err := b.Record(ctx)
	must(t, err)
	violations := Check(r, Slack{})
	for _, v := range violations {
		t.Error(v)
	}
	if len(violations) > 0 {
		for _, i := range r.Interruptions {
			t.Logf("%s %s %s–%s", i.Fault, i.Target, i.From.Format(clock), i.To.Format(clock))
		}
	}
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// 500 messages while a random worker of three is killed about every second: nothing lost,
// every duplicate explained, 12 keys in order.
func TestChaos_WorkersKilled(t *testing.T) {
	eachSeed(t, 50, func(t *testing.T, seed uint64) {
		b := bench(t, Config{Far: flaky(seed)})
		storm(t, b, Mix(seed, 500, 12), 6*time.Second, NewPlan(seed, 2*time.Minute,
			Recipe{Fault: Kill, Targets: 3, First: time.Second, Every: time.Second, Longest: 300 * time.Millisecond}))
	})
}

// nats-server is killed and started again while publishers publish: nothing lost, nothing
// stored twice, though publishers saw errors and repeated with the same id.
func TestChaos_ServerKilled(t *testing.T) {
	eachSeed(t, 20, func(t *testing.T, seed uint64) {
		b := bench(t, Config{Far: flaky(seed)})
		storm(t, b, Mix(seed, 500, 12), 6*time.Second, NewPlan(seed, 20*time.Second,
			Recipe{Fault: Kill, NATS: true, Targets: 1, First: 1500 * time.Millisecond, Every: 2500 * time.Millisecond, Times: 3, Longest: 1500 * time.Millisecond}))
	})
}

// Three servers and three replicas: the leader of the work queue is killed and then a node
// is cut off from the others, not from its clients.
func TestChaos_Cluster(t *testing.T) {
	eachSeed(t, 10, func(t *testing.T, seed uint64) {
		b := bench(t, Config{Far: flaky(seed), Nodes: 3, PublishTimeout: 2 * time.Second})
		storm(t, b, Mix(seed, 500, 12), 20*time.Second, NewPlan(seed, time.Minute,
			Recipe{Fault: Kill, NATS: true, Targets: Leader, First: 3 * time.Second, Shortest: time.Second, Longest: 3 * time.Second},
			Recipe{Fault: Partition, NATS: true, Targets: 3, First: 14 * time.Second, Shortest: 8 * time.Second, Longest: 15 * time.Second}))
	})
}

// Workers are stopped for longer than the ack wait and go on: what others took over
// meanwhile they do not send, and they let nothing overtake it.
func TestChaos_Zombies(t *testing.T) {
	eachSeed(t, 20, func(t *testing.T, seed uint64) {
		b := bench(t, Config{Far: flaky(seed)})
		storm(t, b, Mix(seed, 500, 12), 8*time.Second, NewPlan(seed, time.Minute,
			Recipe{Fault: Stop, Targets: 3, First: time.Second, Every: 2 * time.Second, Shortest: 2200 * time.Millisecond, Longest: 5 * time.Second}))
	})
}

// Workers and nats-server are killed in one run: a worker may start just after the server
// did, and has not seen what the others know.
func TestChaos_WorkersAndServerKilled(t *testing.T) {
	eachSeed(t, 20, func(t *testing.T, seed uint64) {
		b := bench(t, Config{Far: flaky(seed)})
		storm(t, b, Mix(seed, 500, 12), 6*time.Second, NewPlan(seed, 30*time.Second,
			Recipe{Fault: Kill, NATS: true, Targets: 1, First: 1500 * time.Millisecond, Every: 3500 * time.Millisecond, Times: 3, Longest: 1500 * time.Millisecond},
			Recipe{Fault: Kill, Targets: 3, First: time.Second, Every: time.Second, Longest: 300 * time.Millisecond}))
	})
}
