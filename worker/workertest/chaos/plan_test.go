package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Event is one fault of a plan.
type Event struct {
	// At counts from the start of the run.
	At    time.Duration
	Fault Fault
	// NATS: the target is a server; else a worker.
	NATS bool
	// Target counts from 0. Leader is whichever server leads the work queue then.
	Target int
	// For is how long until the target is started, continued or connected again.
	For time.Duration
}

// Leader as the target of an event.
const Leader = -1

// Recipe says what a plan is drawn from.
type Recipe struct {
	Fault   Fault
	NATS    bool
	Targets int // each event strikes one of so many; Leader strikes the leader
	// First event about here, the next ones about every so often; 0 means no next one.
	// Both vary by up to 40 %.
	First, Every time.Duration
	// Times bounds the number of events. 0 means as many as there is time for.
	Times int
	// Shortest and Longest bound For.
	Shortest, Longest time.Duration
}

// Plan is a schedule of faults. The same seed and recipes give the same plan.
type Plan struct {
	Seed   uint64
	Events []Event
}

// NewPlan draws a plan that lasts for the given time.
func NewPlan(seed uint64, lasts time.Duration, recipes ...Recipe) Plan {
	random := rand.New(rand.NewPCG(seed, 0x7265646f78)) // another stream of numbers than the load's
	p := Plan{Seed: seed}
	for _, r := range recipes {
		for at := vary(random, r.First); at < lasts; at += vary(random, r.Every) {
			e := Event{At: at, Fault: r.Fault, NATS: r.NATS, Target: Leader, For: r.Shortest}
			if r.Targets > 0 {
				e.Target = random.IntN(r.Targets)
			}
			if r.Longest > r.Shortest {
				e.For += time.Duration(random.Int64N(int64(r.Longest - r.Shortest)))
			}
			p.Events = append(p.Events, e)
			r.Times--
			if r.Every == 0 || r.Times == 0 {
				break
			}
		}
	}
	slices.SortStableFunc(p.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return p
}

// vary by up to 40 % to either side.
func vary(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.6 + 0.8*random.Float64()))
}

// String is one line.
func (p Plan) String() string {
	var events []string
	for _, e := range p.Events {
		what := "worker"
		if e.NATS {
			what = "nats"
		}
		target := fmt.Sprintf("%s-%d", what, e.Target+1)
		if e.Target == Leader {
			target = "the leader"
		}
		events = append(events, fmt.Sprintf("%v %s %s for %v", e.At.Round(time.Millisecond), e.Fault, target, e.For.Round(time.Millisecond)))
	}
	return fmt.Sprintf("seed %d: %s", p.Seed, strings.Join(events, "; "))
}
