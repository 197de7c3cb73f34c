package bench

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// smallLoop is a run of a second or two.
var smallLoop = []string{"bench", "--json", "--rounds", "1", "--in-flight", "8", "--size", "1KB", "--messages", "400", "--duration", "400ms", "--rate", "100"}

// grammar is a command line of bench alone.
type grammar struct {
	cli.Globals

	Bench Commands `cmd:""`
}

// runBench runs the command with the children that belong to it.
func runBench(ctx context.Context, t testing.TB, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	a, out, errs := clitest.App(args...)
	a.Program = clitest.Build(t)
	code = cli.Execute(ctx, *a, new(grammar))
	return code, out.String(), errs.String()
}

func TestBench_MeasuresWorkerAndRawLoop(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := runBench(t.Context(), t, smallLoop...)
	if code != cli.ExitOK {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	var results []loopResult
	if err := json.Unmarshal([]byte(stdout), &results); err != nil || len(results) != 1 {
		t.Fatalf("%v: %s", err, stdout)
	}
	r := results[0]
	if r.InFlight != 8 || r.Size != 1000 || r.Rounds != 1 || r.Messages == 0 || r.Ratio.Throughput <= 0 || r.Ratio.CPU <= 0 {
		t.Errorf("%+v", r)
	}
	for _, f := range []loopFigures{r.Worker, r.Raw} {
		if f.PerSecond <= 0 || f.CPU <= 0 || f.Peak < 5 || f.Peak > 1000 || f.P50 <= 0 || f.P99 < f.P50 {
			t.Errorf("%+v", f)
		}
	}
}

func TestBench_EndsWhenInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	code, stdout, stderr := runBench(ctx, t, "bench", "--duration", "1m", "--in-flight", "1")
	if code != cli.ExitFailed || stdout != "" || stderr == "" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestBench_BadFlagsAreUsageErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args string
		want []string // one for each line
	}{
		"all at once": {"--in-flight 0,20000 --size 10,2MB --sources 0 --idle=-1 --keys=-1 --messages 0 --duration 0s --rounds 0 --rate 0 --latency 1m --backlog=-1 --quiet 0s --nats-server x",
			[]string{"--in-flight: 0;", "--in-flight: 20000;", "--size: 10 bytes", "--size: 2000000 bytes", "--sources: 0", "--idle: -1", "--keys: -1", "--messages: 0", "--duration: 0s", "--rounds: 0", "--rate: 0", "--backlog: -1", "--quiet: 0s", "--nats-server: is for", "--latency: 1m"}},
		"size without a number": {"--size big", []string{`"big" is not a size`}},
		"size too large":        {"--size 99999999999999999999", []string{"is not a size"}},
		"no profile directory":  {"--profile /no/such/directory", []string{"--profile"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := runBench(t.Context(), t, append([]string{"bench"}, strings.Fields(tc.args)...)...)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			if code != cli.ExitUsage || stdout != "" || len(lines) != len(tc.want) {
				t.Fatalf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
			}
			for i, want := range tc.want {
				if !strings.Contains(lines[i], want) {
					t.Errorf("line %d: %q lacks %q", i, lines[i], want)
				}
			}
		})
	}
}

func TestBench_SaysWhyAChildFailed(t *testing.T) {
	t.Parallel()
	child, err := startRole(t.Context(), &cli.App{Program: clitest.Build(t)}, roleWorker, "--config", filepath.Join(t.TempDir(), "missing.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.usage(); err != nil && !strings.Contains(err.Error(), "the worker failed") {
		t.Error(err)
	}
	if err := child.stop(); err == nil || !strings.Contains(err.Error(), "missing.yaml") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("the worker had no configuration: %v", err)
	}
}

func TestBenchSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]byteSize{"500": 500, "1KB": 1000, "20kb": 20_000, "1MB": 1_000_000, "700B": 700} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		var again byteSize
		if err := again.UnmarshalText([]byte(got.String())); err != nil || again != want {
			t.Errorf("%s is written %s", text, got)
		}
	}
}

func TestBenchBody_IsAMessageOfExactlyThatSize(t *testing.T) {
	t.Parallel()
	for _, size := range []int{minSize, 501, 1000, 1037, 20_000, maxSize} {
		body := messageBody(size)
		meta, err := redox.ReadMeta(body)
		if len(body) != size || err != nil || meta.DataModel == "" || meta.EventType == "" || meta.Destinations != 1 || !meta.Test || meta.SourceID != "" {
			t.Errorf("size %d: %d bytes, %+v, %v", size, len(body), meta, err)
		}
	}
}

func TestBenchAPI(t *testing.T) {
	t.Parallel()
	api := standAPI(time.Millisecond)
	for path, want := range map[string]string{"/v2/auth/token": standToken, "/endpoint": standAnswer} {
		w := httptest.NewRecorder()
		api.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader("{}")))
		if w.Code != http.StatusOK || w.Body.String() != want || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	if api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/endpoint", nil)); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
}

func TestBenchRounds_MediansOfRatios(t *testing.T) {
	t.Parallel()
	rounds := newLoopRounds(loopSetting{inFlight: 64, size: 1000})
	add := func(role processRole, perSecond int, cpu time.Duration, latency int64) {
		h := hdrhistogram.New(1, stepPatience.Microseconds(), 3)
		if err := h.RecordValue(latency); err != nil {
			t.Fatal(err)
		}
		rounds.add(role, measurement{messages: perSecond, took: time.Second, cpu: cpu * time.Duration(perSecond), peak: 20e6, latency: h})
	}
	// The second round was disturbed, both halves of it; the third in one half only.
	add(roleWorker, 900, 55*time.Microsecond, 1000)
	add(roleRaw, 1000, 50*time.Microsecond, 900)
	add(roleWorker, 450, 110*time.Microsecond, 2000)
	add(roleRaw, 500, 100*time.Microsecond, 900)
	add(roleWorker, 100, 400*time.Microsecond, 1000)
	add(roleRaw, 1000, 50*time.Microsecond, 900)
	r := rounds.result()
	if r.Rounds != 3 || r.Messages != 3950 || r.Ratio.Throughput != 0.9 || r.Ratio.CPU != 1.1 {
		t.Errorf("%+v", r)
	}
	if w := r.Worker; w.PerSecond != 450 || w.CPU != 110 || w.Peak != 20 || w.P50 != 1 || w.P99 < 2 {
		t.Errorf("%+v", w)
	}
	shown := loopTable([]loopResult{r})
	for _, want := range []string{"in flight", "64", "1KB", "450", "1000", "0.90", "110.0", "50.0", "1.10"} {
		if !strings.Contains(shown, want) {
			t.Errorf("%q is missing in\n%s", want, shown)
		}
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, list := range map[float64][]float64{7: {7}, 1.5: {2, 1}, 2: {9, 1, 2}} {
		if got := median(list); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

func TestTail_KeepsWholeLinesOfTheEnd(t *testing.T) {
	t.Parallel()
	var out tail
	for range 500 {
		if n, err := out.Write([]byte("a line\n")); n != 7 || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = out.Write([]byte("the end"))
	got := out.String()
	if !strings.HasPrefix(got, "a line\n") || !strings.HasSuffix(got, "a line\nthe end") || len(got) > tailBytes {
		t.Errorf("%q", got)
	}
}

func TestBenchAmount_IsBounded(t *testing.T) {
	t.Parallel()
	for _, messages := range []int{1, 10_000, maxMessages} {
		for _, s := range []loopSetting{{1, minSize, 1}, {64, 20_000, 1}, {maxInFlight, minSize, 300}, {maxInFlight, maxSize, 1}} {
			got := (&loopCommand{Messages: messages, Duration: time.Second}).amount(s)
			if got.measured < 1 || got.measured >= got.published || got.published-got.measured < s.inFlight {
				t.Errorf("%d messages, %+v: %+v", messages, s, got)
			}
			if got.published*s.size > maxBacklog && got.published > 2*s.inFlight+300 {
				t.Errorf("%d messages, %+v: %d bytes", messages, s, got.published*s.size)
			}
		}
	}
}
