package bench

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jedib0t/go-pretty/v6/table"
)

// loopResult is what was found for one setting: medians over the rounds. Latencies are
// those of all rounds together.
type loopResult struct {
	InFlight int         `json:"in_flight"`
	Size     int         `json:"size"`
	Sources  int         `json:"sources"` // whose messages came in turn
	Rounds   int         `json:"rounds"`
	Messages int         `json:"messages"` // measured under full load, over all rounds, of both
	Worker   loopFigures `json:"worker"`
	Raw      loopFigures `json:"raw"`
	Ratio    loopRatios  `json:"ratio"`
}

// loopFigures of the worker or of the raw loop.
type loopFigures struct {
	PerSecond float64 `json:"messages_per_second"`
	CPU       float64 `json:"cpu_us_per_message"`
	Peak      float64 `json:"peak_mb"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
}

// loopRatios are worker/raw, medians over the rounds of each round's ratio: what disturbs
// the machine mostly disturbs both halves of a round.
type loopRatios struct {
	Throughput float64 `json:"throughput"`
	CPU        float64 `json:"cpu"`
}

// loopRounds collects the measurements of one setting.
type loopRounds struct {
	setting loopSetting
	all     map[processRole][]measurement
}

func newLoopRounds(s loopSetting) loopRounds {
	return loopRounds{s, make(map[processRole][]measurement)}
}

func (r loopRounds) add(role processRole, m measurement) { r.all[role] = append(r.all[role], m) }

func (m measurement) perSecond() float64 { return float64(m.messages) / m.took.Seconds() }

func (m measurement) cpuEach() float64 {
	return float64(m.cpu) / float64(m.messages) / float64(time.Microsecond)
}

func (r loopRounds) result() loopResult {
	worker, raw := r.all[roleWorker], r.all[roleRaw]
	result := loopResult{
		InFlight: r.setting.inFlight, Size: r.setting.size, Sources: r.setting.sources, Rounds: len(worker),
		Worker: figures(worker), Raw: figures(raw),
	}
	var throughput, cpu []float64
	for i := range worker {
		throughput = append(throughput, worker[i].perSecond()/raw[i].perSecond())
		cpu = append(cpu, worker[i].cpuEach()/raw[i].cpuEach())
		result.Messages += worker[i].messages + raw[i].messages
	}
	result.Ratio = loopRatios{Throughput: median(throughput), CPU: median(cpu)}
	return result
}

func figures(list []measurement) loopFigures {
	var perSecond, cpu, peak []float64
	latency := hdrhistogram.New(1, stepPatience.Microseconds(), 3)
	for _, m := range list {
		perSecond, cpu, peak = append(perSecond, m.perSecond()), append(cpu, m.cpuEach()), append(peak, float64(m.peak)/1e6)
		latency.Merge(m.latency)
	}
	return loopFigures{
		PerSecond: median(perSecond), CPU: median(cpu), Peak: median(peak),
		P50: float64(latency.ValueAtQuantile(50)) / 1e3, P99: float64(latency.ValueAtQuantile(99)) / 1e3,
	}
}

// median of a list that is not empty; it is sorted.
func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// loopTable shows results to a person.
func loopTable(results []loopResult) string {
	t := newTable()
	t.AppendHeader(table.Row{"in flight", "size", "sources", "msg/s", "raw", "ratio", "CPU µs", "raw", "ratio", "MB", "raw", "p50 ms", "raw", "p99 ms", "raw"})
	t.SetColumnConfigs(numbers(15))
	for _, r := range results {
		w, raw := r.Worker, r.Raw
		row := table.Row{r.InFlight, byteSize(r.Size), r.Sources}
		for _, f := range []struct {
			format string
			value  float64
		}{
			{"%.0f", w.PerSecond}, {"%.0f", raw.PerSecond}, {"%.2f", r.Ratio.Throughput},
			{"%.1f", w.CPU}, {"%.1f", raw.CPU}, {"%.2f", r.Ratio.CPU},
			{"%.0f", w.Peak}, {"%.0f", raw.Peak}, {"%.2f", w.P50}, {"%.2f", raw.P50}, {"%.2f", w.P99}, {"%.2f", raw.P99},
		} {
			row = append(row, fmt.Sprintf(f.format, f.value))
		}
		t.AppendRow(row)
	}
	t.SetCaption("raw: one loop of pull, net/http, reply and double ack for all sources, and none of the guarantees")
	return t.Render()
}
