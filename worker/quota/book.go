package quota

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// book is what the workers of a group share: each grant of the limit is either free from a
// known moment on, or allotted to a worker. Requests is the sum of both, at all times.
type book struct {
	Requests int
	Per      int64 // nanoseconds
	// Next is the moment of the latest paced grant; the next follows an interval later.
	Next int64
	// Credit is how many of the moments before Next were given back unused.
	Credit int
	// Gone is the moment from which the grants that a lower limit took away would all be free.
	Gone int64
	// Unknown is the moment from which grants are free whose use is not known, because the
	// book was made anew; 0 when it never was.
	Unknown int64
	// Rush is what was taken out of the pace.
	Rush rush
	// Paced is whether SENDs keep the pace of the window.
	Paced paced
	// Free grants by the moment from which they are free, in order.
	Free       []cell
	Allotments map[string]allotment
}

// cell is a number of grants that become free together.
type cell struct {
	at int64
	n  int
}

// allotment is what one worker has of the grants.
type allotment struct {
	// Grants not yet used, in use, or used and not yet noted as such.
	Grants int `json:"slots"`
	// Until is when the worker stops using them unless it has renewed the allotment.
	Until int64 `json:"until"`
	// Want is how many grants it could use within the horizon; −1 means any number.
	Want int `json:"want"`
	// Turn numbers the worker's turns, so that it recognises its own writing.
	Turn uint64 `json:"turn"`
	// Requests and Per are the worker's settings.
	Requests int   `json:"requests"`
	Per      int64 `json:"per"`
}

// wantAll stands for any number of grants.
const wantAll = -1

// wire is the stored form of a book. Free is text, as a list of numbers would cost most of
// the time of a turn: see encodeCells.
type wire struct {
	Requests   int                  `json:"requests"`
	Per        int64                `json:"per"`
	Next       int64                `json:"next"`
	Credit     int                  `json:"credit"`
	Unknown    int64                `json:"unknown,omitempty"`
	Gone       int64                `json:"gone,omitempty"`
	Rush       rush                 `json:"rush"`
	Paced      paced                `json:"paced"`
	Free       string               `json:"free"`
	Allotments map[string]allotment `json:"leases"`
}

func (b *book) encode() ([]byte, error) {
	return json.Marshal(wire{Requests: b.Requests, Per: b.Per, Next: b.Next, Credit: b.Credit, Unknown: b.Unknown, Gone: b.Gone, Rush: b.Rush, Paced: b.Paced,
		Free: encodeCells(b.Free), Allotments: b.Allotments})
}

func decodeBook(data []byte) (*book, error) {
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("not a quota book: %w", err)
	}
	b := &book{Requests: w.Requests, Per: w.Per, Next: w.Next, Credit: w.Credit, Unknown: w.Unknown, Gone: w.Gone, Rush: w.Rush, Paced: w.Paced, Allotments: w.Allotments}
	if b.Allotments == nil {
		b.Allotments = make(map[string]allotment)
	}
	if w.Requests < 1 || w.Requests > maxRequests || w.Per < int64(time.Second) || w.Credit < 0 || w.Rush.bad() || w.Paced.Rate < 0 {
		return nil, fmt.Errorf("not a quota book: %d requests in %dns", w.Requests, w.Per)
	}
	sum := 0
	var err error
	if b.Free, err = decodeCells(w.Free); err != nil {
		return nil, err
	}
	for _, c := range b.Free {
		sum += c.n
	}
	for _, l := range b.Allotments {
		if l.Grants < 0 || l.Grants > maxRequests || l.Want < wantAll || l.Requests < 1 || l.Per < int64(time.Second) {
			return nil, errors.New("not a quota book: an allotment makes no sense")
		}
		sum += l.Grants
	}
	if sum != w.Requests {
		return nil, fmt.Errorf("not a quota book: %d grants of %d", sum, w.Requests)
	}
	return b, nil
}

// encodeCells writes "moment:number" pairs, moments in milliseconds after the one before.
func encodeCells(cells []cell) string {
	text := make([]byte, 0, 16+8*len(cells))
	before := int64(0)
	for i, c := range cells {
		if i > 0 {
			text = append(text, ' ')
		}
		text = strconv.AppendInt(text, c.at/millisecond-before, 10)
		text = append(text, ':')
		text = strconv.AppendInt(text, int64(c.n), 10)
		before = c.at / millisecond
	}
	return string(text)
}

func decodeCells(text string) ([]cell, error) {
	if text == "" {
		return nil, nil
	}
	cells := make([]cell, 0, 1+strings.Count(text, " "))
	at := int64(0)
	for pair := range strings.SplitSeq(text, " ") {
		moment, number, _ := strings.Cut(pair, ":")
		after, err1 := strconv.ParseInt(moment, 10, 64)
		n, err2 := strconv.Atoi(number)
		if err1 != nil || err2 != nil || n < 1 || n > maxRequests || (after <= 0 && len(cells) > 0) {
			return nil, errors.New("not a quota book: free grants are not a list of moments in order")
		}
		if at += after; at > math.MaxInt64/millisecond || at < math.MinInt64/millisecond {
			return nil, errors.New("not a quota book: free grants are out of time")
		}
		if len(cells) >= maxRequests/1024 {
			return nil, errors.New("not a quota book: free grants at too many moments")
		}
		cells = append(cells, cell{at: at * millisecond, n: n})
	}
	return cells, nil
}

const millisecond = int64(time.Millisecond)

// newBook has every grant free from the given moment on.
func newBook(l limits, from int64) *book {
	return &book{Requests: l.requests, Per: l.per, Free: []cell{{l.ceil(from), l.requests}}, Allotments: make(map[string]allotment)}
}

// add notes n grants free from a moment on.
func (b *book) add(at int64, n int) {
	if n == 0 {
		return
	}
	i := sort.Search(len(b.Free), func(i int) bool { return b.Free[i].at >= at })
	if i < len(b.Free) && b.Free[i].at == at {
		b.Free[i].n += n
		return
	}
	b.Free = slices.Insert(b.Free, i, cell{at, n})
}

// free counts the grants that are free at a moment.
func (b *book) free(at int64) int {
	n := 0
	for _, c := range b.Free {
		if c.at > at {
			break
		}
		n += c.n
	}
	return n
}

// expire takes the grants of workers that have not renewed their allotment. The last request of
// such a worker arrives within the margin after the allotment's end.
func (b *book) expire(l limits, now moment) {
	for id, allotment := range b.Allotments {
		if allotment.Until < now.lo {
			b.add(l.freeFrom(allotment.Until+l.margin), allotment.Grants)
			delete(b.Allotments, id)
		}
	}
	b.merge(now)
}

// merge makes one cell of all that are free already: when does not matter any more.
func (b *book) merge(now moment) {
	n := 0
	for n < len(b.Free) && b.Free[n].at <= now.lo {
		n++
	}
	if n < 2 {
		return
	}
	for _, c := range b.Free[:n-1] {
		b.Free[n-1].n += c.n
	}
	b.Free = slices.Delete(b.Free, 0, n-1)
}

// run is a number of grants that may be used from at on, the next from at+step on, and so
// forth. They are free from an earlier moment on: what goes first need not keep the pace.
type run struct {
	at, step int64
	n        int
	free     int64
	stock    bool // for what goes first alone
}

func (r run) last() int64 { return r.at + int64(r.n-1)*r.step }

// demand is what a worker brings to the book.
type demand struct {
	id   string
	turn uint64
	// renews says that the worker had an allotment at its last turn.
	renews bool
	// back are grants that were used or are not wanted any more, by when they are free.
	back map[int64]int
	// unused is how many of them were not used: their moments are free for others as well.
	unused int
	// kept is how many unused grants the worker still has.
	kept int
	// want is how many it could use within the horizon, with those it kept; −1: any number.
	want int
	// urgent is how many grants are wanted now for what goes first.
	urgent int
	// eager is how many SENDs could be made at once beyond the kept grants, waiting how many of
	// them wait already, and rush how many grants the worker may take out of the pace for them.
	eager, waiting, rush int
	// requests and per are the worker's own settings.
	requests int
	per      int64
}

// rush is how many grants were taken out of the pace, by all workers, since a moment and in
// the life of an allotment before it.
type rush struct {
	Since  int64 `json:"since"`
	Now    int   `json:"now"`
	Before int   `json:"before"`
}

func (r rush) bad() bool {
	return r.Now < 0 || r.Before < 0 || r.Now > maxRequests || r.Before > maxRequests
}

// age begins anew when the life of an allotment has passed.
func (r *rush) age(l limits, now moment) {
	switch passed := now.lo - r.Since; {
	case passed >= 2*l.life, passed < -l.life: // the clock was set
		*r = rush{Since: now.lo}
	case passed >= l.life:
		*r = rush{Since: now.lo, Before: r.Now}
	}
}

// paced tells whether SENDs keep the pace of the window.
type paced struct {
	// Until is the moment from which they do not, unless more wait then.
	Until int64 `json:"until"`
	// Rate is how many are granted a second, as last worked out.
	Rate float64 `json:"rate"`
}

func (p paced) holds(now moment) bool { return now.lo < p.Until }
