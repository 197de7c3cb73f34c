package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// benchResult is what was found for one setting: medians over the rounds. Latencies are
// those of all rounds together.
type benchResult struct {
	InFlight int          `json:"in_flight"`
	Size     int          `json:"size"`
	Sources  int          `json:"sources"` // whose messages came in turn
	Rounds   int          `json:"rounds"`
	Messages int          `json:"messages"` // measured under full load, over all rounds, of both
	Worker   benchFigures `json:"worker"`
	Raw      benchFigures `json:"raw"`
	Ratio    benchRatios  `json:"ratio"`
}

// benchFigures of the worker or of the raw loop.
type benchFigures struct {
	PerSecond float64 `json:"messages_per_second"`
	CPU       float64 `json:"cpu_us_per_message"`
	Peak      float64 `json:"peak_mb"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
}

// benchRatios are worker/raw, medians over the rounds of each round's ratio: what disturbs
// the machine mostly disturbs both halves of a round.
type benchRatios struct {
	Throughput float64 `json:"throughput"`
	CPU        float64 `json:"cpu"`
}

// benchRounds collects the measurements of one setting.
type benchRounds struct {
	setting benchSetting
	all     map[benchRole][]measurement
}

func newBenchRounds(s benchSetting) benchRounds {
	return benchRounds{s, make(map[benchRole][]measurement)}
}

func (r benchRounds) add(role benchRole, m measurement) { r.all[role] = append(r.all[role], m) }

func (m measurement) perSecond() float64 { return float64(m.messages) / m.took.Seconds() }

func (m measurement) cpuEach() float64 {
	return float64(m.cpu) / float64(m.messages) / float64(time.Microsecond)
}

func (r benchRounds) result() benchResult {
	worker, raw := r.all[benchWorker], r.all[benchRaw]
	result := benchResult{
		InFlight: r.setting.inFlight, Size: r.setting.size, Sources: r.setting.sources, Rounds: len(worker),
		Worker: figures(worker), Raw: figures(raw),
	}
	var throughput, cpu []float64
	for i := range worker {
		throughput = append(throughput, worker[i].perSecond()/raw[i].perSecond())
		cpu = append(cpu, worker[i].cpuEach()/raw[i].cpuEach())
		result.Messages += worker[i].messages + raw[i].messages
	}
	result.Ratio = benchRatios{Throughput: median(throughput), CPU: median(cpu)}
	return result
}

func figures(list []measurement) benchFigures {
	var perSecond, cpu, peak []float64
	latency := hdrhistogram.New(1, benchPatience.Microseconds(), 3)
	for _, m := range list {
		perSecond, cpu, peak = append(perSecond, m.perSecond()), append(cpu, m.cpuEach()), append(peak, float64(m.peak)/1e6)
		latency.Merge(m.latency)
	}
	return benchFigures{
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

// benchTable shows results to a person.
func benchTable(results []benchResult) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"in flight", "size", "sources", "msg/s", "raw", "ratio", "CPU µs", "raw", "ratio", "MB", "raw", "p50 ms", "raw", "p99 ms", "raw"})
	columns := make([]table.ColumnConfig, 15)
	for i := range columns {
		columns[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignRight, AlignHeader: text.AlignRight}
	}
	t.SetColumnConfigs(columns)
	for _, r := range results {
		w, raw := r.Worker, r.Raw
		row := table.Row{r.InFlight, benchSize(r.Size), r.Sources}
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
