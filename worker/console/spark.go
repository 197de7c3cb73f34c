package console

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"
)

const (
	sparkWidth, sparkHeight = 160, 32
	// sparkLeast is over how long a line is drawn at least.
	sparkLeast = time.Minute
)

// spark is a line of what there was over time, for those who see; label says it to others.
func spark(history []point, label string, of func(point) float64) template.HTML {
	if len(history) < 2 {
		return ""
	}
	first, last := history[0].at, history[len(history)-1].at
	span := max(last.Sub(first), sparkLeast)
	most := 1.0
	for _, p := range history {
		most = max(most, of(p))
	}
	var line strings.Builder
	for _, p := range history {
		x := float64(sparkWidth) * (1 - float64(last.Sub(p.at))/float64(span))
		y := float64(sparkHeight-2) * (1 - of(p)/most)
		fmt.Fprintf(&line, "%.0f,%.1f ", x, y+1)
	}
	now, then := of(history[len(history)-1]), of(history[0])
	text := fmt.Sprintf("%s: %s, %s %s before", label, count(int(math.Round(now))), count(int(math.Round(then))), spanText(last.Sub(first)))
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 %d %d" role="img" aria-label="%s" preserveAspectRatio="none"><polyline points="%s"/></svg>`, //nolint:gosec // of numbers, and of labels of this package
		sparkWidth, sparkHeight, template.HTMLEscapeString(text), strings.TrimSpace(line.String())))
}

func spanText(d time.Duration) string { return span(d.Round(time.Second)) }
