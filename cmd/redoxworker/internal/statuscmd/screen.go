package statuscmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

// The marks before a line: a shape and, on a terminal, a colour of the terminal's own, which can
// be read on dark and on light ground.
const (
	markPerson = "!"
	markWatch  = "~"
	markWell   = "✓"
)

// screen is text for somebody who looks.
type screen struct {
	width  int  // 0: as wide as it gets
	height int  // 0: as high as it gets
	colour bool // on a terminal that wants it
	home   bool // of a terminal: over what is there
	all    bool
	lines  []string
}

func screenOf(a *cli.App, c Status) *screen {
	s := &screen{all: c.All, home: c.Watch && cli.IsTerminal(a.Stdout)}
	s.width, s.height = cli.TerminalSize(a.Stdout)
	if !s.home {
		s.height = 0
	}
	s.colour = s.width > 0 && a.Color(a.Stdout)
	return s
}

// text is all of it, cut to the terminal where it is drawn again and again.
func (s *screen) text() []byte {
	lines := s.lines
	if s.home && len(lines) >= s.height && s.height > 1 {
		lines = append(slices.Clone(lines[:s.height-2]), "… (the terminal is too low)")
	}
	if !s.home {
		return []byte(strings.Join(lines, "\n") + "\n")
	}
	// Home, each line cleared to its end, then what is left of the screen.
	return []byte("\x1b[H" + strings.Join(lines, "\x1b[K\n") + "\x1b[K\n\x1b[J")
}

func (s *screen) paint(c text.Color, line string) string { return cli.Paint(s.colour, c, line) }

// room is how many columns there are.
func (s *screen) room() int {
	if s.width <= 0 {
		return 1 << 20
	}
	return s.width
}

// put adds a line that begins with a label, wrapped behind it.
func (s *screen) put(label, format string, args ...any) {
	s.wrap(fmt.Sprintf("%-9s ", label), strings.Repeat(" ", 10), fmt.Sprintf(format, args...))
}

// wrap adds a text after first, and what does not fit after rest. What a terminal takes for more than
// text is gone from it: ids and reasons are given by others.
func (s *screen) wrap(first, rest, line string) {
	wide := max(s.room()-text.StringWidthWithoutEscSequences(rest), 20)
	for i, part := range strings.Split(text.WrapSoft(cli.OneLine(line), wide), "\n") {
		before := rest
		if i == 0 {
			before = first
		}
		s.lines = append(s.lines, before+strings.TrimRight(part, " "))
	}
}
