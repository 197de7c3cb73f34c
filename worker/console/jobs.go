package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/dlq"
)

const (
	// jobKeys begins the keys of jobs in the state bucket, of which the last keptJobs are kept.
	jobKeys, keptJobs = "console.", 100
	// mostJobs bounds what one process does at once.
	mostJobs = 4
	// mostStaying bounds the dead letters that stayed which a job names.
	mostStaying = 20
	// lost is after how long without word a job is taken to be interrupted.
	lost = 30 * time.Second
	// listedFor is for how long the list of jobs is shown to all.
	listedFor = 2 * time.Second
	// jobTimeout bounds one request to the bucket.
	jobTimeout = 5 * time.Second
)

// The states of a job.
const (
	running     = "running"
	done        = "done"
	stopped     = "stopped"     // somebody wanted that
	failed      = "failed"      // Error says why
	interrupted = "interrupted" // what ran it has ended
)

// job is a replay or a discard of many dead letters, as the state bucket holds it: every process that
// serves the console sees how far it is, and can go on with it where the one that ran it has ended.
type job struct {
	ID     string `json:"id"`
	Action string `json:"action"` // replay or discard
	By     string `json:"by"`
	From   string `json:"from"`
	Reason string `json:"reason"`
	Filter string `json:"filter"`
	State  string `json:"state"`
	Error  string `json:"error,omitempty"`
	// Total is how many there were, Outcomes what has become of them so far, and Staying the first of
	// those that stay.
	Total    int                 `json:"total"`
	Outcomes map[dlq.Outcome]int `json:"outcomes,omitempty"`
	Staying  []dlq.Handled       `json:"staying,omitempty"`
	// Rate bounds how many are sent a second; 0 is no bound. Canary are sent first.
	Rate         int       `json:"rate,omitempty"`
	Canary       int       `json:"canary,omitempty"`
	KeepDeadline bool      `json:"keep_deadline,omitempty"`
	Started      time.Time `json:"started"`
	Updated      time.Time `json:"updated"`
	Ended        time.Time `json:"ended,omitzero"`
	// Stop is what somebody else asks of the process that runs it.
	Stop bool `json:"stop,omitempty"`
	// Query selects what is left; Patterns are the sources that who began it may do that to.
	Query    dlq.Query `json:"query"`
	Patterns []string  `json:"patterns"`

	revision uint64
}

// Done is how many were looked at, and Removed how many of these are gone.
func (j *job) Done() (n int) {
	for _, of := range j.Outcomes {
		n += of
	}
	return n
}

// Removed is how many are gone.
func (j *job) Removed() (n int) {
	for o, of := range j.Outcomes {
		if o.Removed() {
			n += of
		}
	}
	return n
}

// Became are the outcomes, for people.
func (j *job) Became() []outcome { return outcomes(j.Outcomes) }

// Now is the state, as who reads it sees it.
func (j *job) Now() string {
	if j.State == running && time.Since(j.Updated) > lost {
		return interrupted
	}
	return j.State
}

// Resumable reports whether somebody may go on with it.
func (j *job) Resumable() bool { s := j.Now(); return s != running && s != done }

// jobs are those in the state bucket.
type jobs struct {
	console *Console
	active  atomic.Int32
	listed  lately[[]*job]
}

func (s *jobs) bucket(ctx context.Context) (jetstream.KeyValue, error) {
	c := s.console.config
	kv, err := c.JS.KeyValue(ctx, c.Prefix.StateBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("console: bucket %s: %w: run `redoxworker provision`", c.Prefix.StateBucket(), outbox.ErrNoStream)
	}
	return kv, err
}

// start keeps a job and begins it.
func (s *jobs) start(ctx context.Context, j *job) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	kv, err := s.bucket(ctx)
	if err != nil {
		return err
	}
	j.ID, j.Started, j.State = outbox.NewID(), time.Now().UTC(), running
	if err := s.write(ctx, kv, j); err != nil {
		return err
	}
	s.prune(ctx, kv)
	return s.begin(kv, j)
}

// begin runs a job that is kept.
func (s *jobs) begin(kv jetstream.KeyValue, j *job) error {
	if s.active.Add(1) > mostJobs {
		s.active.Add(-1)
		return s.notBegun(kv, j, fmt.Sprintf("%d replays run here at once already", mostJobs), "wait for one of them to end, then resume this one")
	}
	own := *j // the caller shows j
	if s.console.begin(func(ctx context.Context) {
		defer s.active.Add(-1)
		r := runner{jobs: s, kv: kv, job: own}
		r.run(ctx)
	}) {
		return nil
	}
	s.active.Add(-1)
	return s.notBegun(kv, j, "the console does not run here, or is about to end", "resume it in a moment")
}

func (s *jobs) notBegun(kv jetstream.KeyValue, j *job, text, mend string) error {
	ctx, cancel := context.WithTimeout(context.Background(), jobTimeout)
	defer cancel()
	j.State = interrupted
	return errors.Join(&problem{Status: http.StatusServiceUnavailable, Text: text, Mend: mend}, s.write(ctx, kv, j))
}

// write stores a job in place of the one that it was made of.
func (s *jobs) write(ctx context.Context, kv jetstream.KeyValue, j *job) (err error) {
	j.Updated = time.Now().UTC()
	value, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if j.revision == 0 {
		j.revision, err = kv.Create(ctx, jobKeys+j.ID, value)
	} else {
		var revision uint64
		if revision, err = kv.Update(ctx, jobKeys+j.ID, value, j.revision); err == nil {
			j.revision = revision
		}
	}
	s.listed.forget()
	return err
}

// get is one job.
func (s *jobs) get(ctx context.Context, kv jetstream.KeyValue, id string) (*job, error) {
	entry, err := kv.Get(ctx, jobKeys+id)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return nil, &problem{Status: http.StatusNotFound, Text: "there is no such replay, or no more"}
	}
	if err != nil {
		return nil, err
	}
	j := &job{revision: entry.Revision()}
	if err := json.Unmarshal(entry.Value(), j); err != nil {
		return nil, fmt.Errorf("console: replay %s is damaged: %w", id, err)
	}
	return j, nil
}

// list are all jobs, the newest first. One look serves all who ask within a moment.
func (s *jobs) list(ctx context.Context) ([]*job, error) {
	all, err := s.listed.get(ctx, listedFor, jobTimeout, s.read)
	return slices.Clone(all), err
}

// read reads all jobs.
func (s *jobs) read(ctx context.Context) ([]*job, error) {
	kv, err := s.bucket(ctx)
	if err != nil {
		return nil, err
	}
	ids, err := s.ids(ctx, kv)
	if err != nil {
		return nil, err
	}
	all := make([]*job, 0, len(ids))
	for _, id := range ids[:min(len(ids), keptJobs)] {
		j, err := s.get(ctx, kv, id)
		var gone *problem
		if errors.As(err, &gone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, j)
	}
	return all, nil
}

// ids of all jobs, the newest first: they grow with time.
func (s *jobs) ids(ctx context.Context, kv jetstream.KeyValue) ([]string, error) {
	keys, err := kv.ListKeysFiltered(ctx, jobKeys+"*")
	if err != nil {
		return nil, err
	}
	var ids []string
	for key := range keys.Keys() {
		ids = append(ids, strings.TrimPrefix(key, jobKeys))
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}

// prune forgets the oldest.
func (s *jobs) prune(ctx context.Context, kv jetstream.KeyValue) {
	ids, err := s.ids(ctx, kv)
	if err != nil {
		return
	}
	for _, id := range ids[min(len(ids), keptJobs):] {
		_ = kv.Delete(ctx, jobKeys+id) // else the next time
	}
}
