package checkcmd

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// glyphs begin a line of each status.
var glyphs = map[status]string{statusOK: "✓", statusWarning: "!", statusFault: "✗", statusUnknown: "?"}

// colors can be read on dark and on light ground, whatever shades a terminal has for their names: green,
// yellow and cyan cannot on white. What is well has none.
var colors = map[status]text.Color{statusWarning: text.FgMagenta, statusFault: text.FgRed, statusUnknown: text.FgMagenta}

// shownAlike is how many of those that are alike are shown.
const shownAlike = 2

// margin is what stands left of the text: glyph, name of the check.
const margin = 12

// show prints a result, for people or as JSON.
func (k CheckCommand) show(a *cli.App, r result) error {
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(r)
	}
	screen := screen{width: a.Width(), color: a.Color(a.Stdout)}
	for _, g := range groups(r.Findings) {
		shown := len(g)
		if !k.All && shown > shownAlike+1 {
			shown = shownAlike
		}
		for _, f := range g[:shown] {
			a.Printf("%s", screen.finding(f))
		}
		if rest := g[shown:]; len(rest) > 0 {
			a.Printf("%s", screen.more(rest))
		}
	}
	a.Printf("%s\n", r)
	return nil
}

// String sums it up in a line.
func (r result) String() string {
	parts := []string{"no faults"}
	if r.Faults > 0 {
		parts[0] = cli.Counted(r.Faults, "fault")
	}
	if r.Warnings > 0 {
		parts = append(parts, cli.Counted(r.Warnings, "warning"))
	}
	if r.Unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d not known", r.Unknown))
	}
	return fmt.Sprintf("%s; took %v", strings.Join(parts, ", "), r.Took.Round(10*time.Millisecond))
}

// screen is what findings are laid out for.
type screen struct {
	width int // 0 is none: a line is as long as it is
	color bool
}

// finding is its lines: on a screen the mend stands below, elsewhere each is one line.
func (s screen) finding(f finding) string {
	line := f.Text
	if f.Subject != "" {
		line = f.Subject + ": " + line
	}
	glyph := glyphs[f.Status]
	if s.color {
		glyph = colors[f.Status].Sprint(glyph)
	}
	head := fmt.Sprintf("%s %-*s", glyph, margin-2, f.Check)
	switch {
	case s.width == 0 && f.Mend != "":
		return head + line + "; " + f.Mend + "\n"
	case f.Mend != "":
		return head + s.wrap(line, margin) + strings.Repeat(" ", margin) + "→ " + s.wrap(f.Mend, margin+2)
	}
	return head + s.wrap(line, margin)
}

// more names those of a group that are not shown.
func (s screen) more(rest group) string {
	const most = 5
	var names []string
	for _, f := range rest {
		if len(names) < most {
			names = append(names, f.Subject)
		}
	}
	line := fmt.Sprintf("and %d like it (--all shows them): %s", len(rest), strings.Join(names, ", "))
	if len(rest) > most {
		line += ", …"
	}
	return strings.Repeat(" ", margin) + s.wrap(line, margin)
}

// wrap breaks a text that begins at a column at the edge of the screen, and ends its line.
func (s screen) wrap(line string, column int) string {
	if s.width == 0 {
		return line + "\n"
	}
	wrapped := strings.TrimRight(text.WrapSoft(line, max(s.width-column, 24)), "\n ")
	var out strings.Builder
	for i, part := range strings.Split(wrapped, "\n") {
		if i > 0 {
			out.WriteString(strings.Repeat(" ", column))
		}
		out.WriteString(strings.TrimRight(part, " ") + "\n")
	}
	return out.String()
}
