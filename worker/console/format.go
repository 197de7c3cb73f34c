package console

import (
	"fmt"
	"html/template"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/overview"
)

// functions are those of the templates.
var functions = template.FuncMap{
	"count": count, "ago": ago, "clock": clock, "span": span, "rate": perSecondText, "percent": percent, "mark": mark, "plural": plural,
	"bytes": size, "bytes64": func(n int64) string { return size(int(n)) }, "args": func(all ...any) []any { return all }, "sourceName": sourceName, "join": func(all []string) string { return strings.Join(all, ", ") }, "seconds": func(d time.Duration) int { return int(d.Seconds()) },
}

// count is a number, or what a pointer to one points to, with a comma between thousands.
func count(v any) string {
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer {
		if p.IsNil() {
			return "–"
		}
		v = p.Elem().Interface()
	}
	text := fmt.Sprint(v)
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return sign + text
}

// plural is a number with its noun.
func plural(v any, noun string) string {
	if fmt.Sprint(v) != "1" {
		noun += "s"
	}
	return count(v) + " " + noun
}

// span is a duration to as many digits as somebody reads.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// ago says how long ago something was, and in its title when. The script says the title by the clock
// of the browser.
func ago(at time.Time) template.HTML { return instant(at, span(time.Since(at))+" ago", "ago") }

// clock is an instant.
func clock(at time.Time) template.HTML {
	layout := "15:04:05 UTC"
	if time.Since(at).Abs() > 12*time.Hour {
		layout = "2006-01-02 15:04 UTC"
	}
	return instant(at, at.UTC().Format(layout), "clock")
}

func instant(at time.Time, text, kind string) template.HTML {
	if at.IsZero() {
		return "–"
	}
	at = at.UTC()
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" data-%s>%s</time>`, at.Format(time.RFC3339), at.Format("2006-01-02 15:04:05 UTC"), kind, text)) //nolint:gosec // of numbers alone
}

// perSecondText is how many a second.
func perSecondText(perSecond *float64) string {
	switch {
	case perSecond == nil:
		return "–"
	case *perSecond == 0 || *perSecond >= 10:
		return count(int(math.Round(*perSecond)))
	}
	return strconv.FormatFloat(*perSecond, 'f', 1, 64)
}

// percent of a whole, from 0 to 100.
func percent(part, whole int) int {
	if whole <= 0 {
		return 0
	}
	return min(100, max(0, part*100/whole))
}

// size of a body.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	case n >= 10<<10:
		return fmt.Sprintf("%d kB", n>>10)
	}
	return plural(n, "byte")
}

// sourceName is a source, or what stands for none.
func sourceName(name string) string {
	if name == "" {
		return contract.NoSource
	}
	return name
}

// badge is a state as people see it: a shape, a colour's name and the word itself.
type badge struct{ Shape, Tone, Word string }

// mark is the badge of a state, of whatever kind it is.
func mark(state any) badge {
	word := fmt.Sprint(state)
	switch word {
	case string(overview.Moving), "ready", "usable", "done", string(outbox.Delivered), "closed", "serving", "replayed":
		return badge{"●", "good", word}
	case string(overview.Paused), string(outbox.Held), "stopped", "draining":
		return badge{"■", "calm", word}
	case string(overview.Limited), string(overview.Paced), string(overview.Retrying), "waiting", "queued", "running", "begun", "sending", "probing", string(outbox.Expired):
		return badge{"◐", "busy", word}
	case string(overview.Unknown), "interrupted":
		return badge{"?", "busy", word}
	}
	return badge{"▲", "bad", word}
}
