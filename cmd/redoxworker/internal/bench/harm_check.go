package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// harmCount counts what becomes of the messages of one harm.
type harmCount struct {
	scene *scene
	from  int    // number of the first message
	dead  uint64 // dead letters before
}

// startCount has the simulator's record begin.
func (h *harmCommand) startCount(ctx context.Context, s *scene) (*harmCount, error) {
	if _, err := s.ask(ctx, http.MethodPost, "reset", nil); err != nil {
		return nil, err
	}
	dead, err := s.stored(ctx, contract.Prefix("").DeadStream())
	return &harmCount{scene: s, from: s.traffic.count(), dead: dead}, err
}

// stored is how many messages a stream holds.
func (r *rig) stored(ctx context.Context, name string) (uint64, error) {
	state, err := r.stream(ctx, name)
	return state.Msgs, err
}

// drained waits until every message has its reply and the queue is empty, or patience is over.
func (s *scene) drained(ctx context.Context, patience time.Duration) {
	_ = eventually(ctx, patience, func() error {
		s.traffic.mu.Lock()
		open := s.traffic.open
		s.traffic.mu.Unlock()
		if open > 0 {
			return errTimeout
		}
		n, err := s.stored(ctx, contract.Prefix("").OutStream())
		if err == nil && n > 0 {
			err = errTimeout
		}
		return err
	})
}

// end compares what was published with what came to the simulator and what was dead-lettered.
func (c *harmCount) end(ctx context.Context, r *harmResult) error {
	arrivals, err := c.scene.arrivals(ctx)
	if err != nil {
		return err
	}
	dead, err := c.scene.stored(ctx, contract.Prefix("").DeadStream())
	if err != nil {
		return err
	}
	waiting, err := c.scene.stored(ctx, contract.Prefix("").OutStream())
	if err != nil {
		return err
	}
	t := c.scene.traffic
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := make([]int, len(t.all))
	for _, a := range arrivals {
		if n := c.number(a); n >= 0 && a.Accepted {
			taken[n]++
		}
	}
	buried := 0
	for n := c.from; n < len(t.all); n++ {
		m := &t.all[n]
		r.Published++
		switch delivered := m.settlement == outbox.Delivered; {
		case delivered && taken[n] == 1:
			r.Delivered++
		case delivered && taken[n] > 1 || !delivered && m.settlement != "" && taken[n] > 0:
			r.Doubled++
		case m.settlement == "" || delivered:
			r.Lost++
		case m.lane != contract.LaneRequest:
			buried++
			fallthrough
		default:
			r.Dead++
		}
	}
	r.Lost += int(waiting) + max(0, buried-int(dead-c.dead))
	r.Disordered = c.disorder(arrivals)
	return nil
}

// number of the message of an arrival; −1 for those of token requests and of earlier harms.
func (c *harmCount) number(a redoxsim.Arrival) int {
	n, err := strconv.Atoi(a.Key)
	if err != nil || n < c.from || n >= len(c.scene.traffic.all) {
		return -1
	}
	return n
}

// disorder counts the messages of an order token that came before an earlier one was taken, or beside it.
func (c *harmCount) disorder(arrivals []redoxsim.Arrival) (disordered int) {
	token := func(a redoxsim.Arrival) string {
		n := c.number(a)
		if n < 0 || c.scene.traffic.all[n].order == "" {
			return ""
		}
		return c.scene.traffic.all[n].order
	}
	last := map[string]int{}
	for _, a := range arrivals {
		name := token(a)
		if name == "" || !a.Accepted {
			continue
		}
		n := c.number(a)
		if before, any := last[name]; any && n < before {
			disordered++
		}
		last[name] = max(last[name], n)
	}
	return disordered + len(redoxsim.Overlaps(arrivals, token))
}

// arrivals reads the record of the simulator.
func (s *scene) arrivals(ctx context.Context) (all []redoxsim.Arrival, err error) {
	for after := uint64(0); ; {
		page, err := s.ask(ctx, http.MethodGet, fmt.Sprintf("arrivals?after=%d&limit=50000", after), nil)
		if err != nil {
			return nil, err
		}
		before := len(all)
		for lines := json.NewDecoder(bufio.NewReader(bytes.NewReader(page))); ; {
			var a redoxsim.Arrival
			if err := lines.Decode(&a); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			all, after = append(all, a), a.Seq
		}
		if len(all) == before {
			return all, nil
		}
	}
}

// harmTold is how long a trouble may last before it is told of.
const harmTold = 20 * time.Second

// told is what /readyz and `redoxworker status` say of a trouble: the lines of them that name it. It
// asks again while they say nothing, and there is something to say.
func (s *scene) told(ctx context.Context, harm harmKind) (readyz, status string, err error) {
	_ = eventually(ctx, harmTold, func() error {
		var state service.Status
		if state, err = s.readyz(ctx); err != nil {
			return nil
		}
		var text string
		if text, err = s.command(ctx, "status"); err != nil {
			return nil
		}
		readyz, status = saysOf(toldByReadyz(state), harm), saysOf(strings.Split(text, "\n"), harm)
		switch {
		case readyz != "" && status != "" || harm.silent:
			return nil
		case s.traffic.openOf(harm.source) == 0:
			readyz, status = cmp.Or(readyz, harmOver), cmp.Or(status, harmOver)
			return nil
		}
		return errTimeout
	})
	return readyz, status, err
}

// harmOver is said of a trouble that nothing is left of.
const harmOver = "(it was over by then)"

// saysOf are the lines that name the trouble, in short.
func saysOf(lines []string, harm harmKind) string {
	var found []string
	for _, line := range lines {
		words := strings.FieldsFunc(line, func(r rune) bool { return !strings.ContainsRune(harmWord, r) })
		if slices.ContainsFunc(words, func(w string) bool { return harmNamed(w, harm.names()) }) {
			found = append(found, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(found, "; ")
}

// harmWord are the letters of a name of a source, a key or a scope.
const harmWord = "abcdefghijklmnopqrstuvwxyz0123456789-:"

// harmNamed reports whether a word is a name, or a scope of it.
func harmNamed(word, name string) bool {
	return strings.TrimSuffix(word, ":") == name || slices.Contains(strings.Split(word, ":"), name)
}
