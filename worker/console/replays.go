package console

import (
	"context"
	"net"
	"net/http"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker/console/access"
)

// from is where a request comes from, and as what the user came, as the audit trail says it.
func (r *request) from() string {
	at := r.user.Remote
	if at == "" {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if at = host; err != nil {
			at = "a socket"
		}
	}
	return at + ", as " + string(r.user.Highest())
}

// sees reports whether the user may see a job: one's own, and all of who may see all sources.
func (r *request) sees(j *job) bool {
	return r.user.May(access.See, "") || j.By == r.user.Name
}

// mayGoOn fails unless the user may do to all of its sources what the job does.
func (r *request) mayGoOn(j *job) error {
	a := access.Action(j.Action)
	if slices.Equal(r.user.Patterns(a), j.Patterns) && r.user.MayAny(a) {
		return nil
	}
	return r.may(a, "")
}

// showReplays lists replays and discards that were begun here.
func (c *Console) showReplays(w http.ResponseWriter, r *request) error {
	all, err := c.jobs.list(r.Context())
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(j *job) bool { return !r.sees(j) })
	if r.json {
		return writeLines(w, all)
	}
	return r.live(w, r.page("replays", "Replays", all))
}

// job is the one of the request.
func (r *request) job(ctx context.Context) (jetstream.KeyValue, *job, error) {
	kv, err := r.console.jobs.bucket(ctx)
	if err != nil {
		return nil, nil, err
	}
	j, err := r.console.jobs.get(ctx, kv, r.PathValue("id"))
	if err == nil && !r.sees(j) {
		err = refused(r.user.Check(access.See, ""))
	}
	return kv, j, err
}

// replayData is what the page of one shows.
type replayData struct {
	*job
	MayAct bool
}

// showReplay shows how far one is.
func (c *Console) showReplay(w http.ResponseWriter, r *request) error {
	_, j, err := r.job(r.Context())
	if err != nil {
		return err
	}
	if r.json {
		r.writeJSON(w, http.StatusOK, j)
		return nil
	}
	p := r.page("replay", "Replay", replayData{j, r.mayGoOn(j) == nil})
	p.Screen = "replays"
	return r.live(w, p)
}

// stop has whoever runs a job end it after what is under way.
func (c *Console) stop(w http.ResponseWriter, r *request) error {
	kv, j, err := r.job(r.Context())
	if err != nil {
		return err
	}
	if err := r.mayGoOn(j); err != nil {
		return err
	}
	if j.Now() != running {
		return &problem{Status: http.StatusConflict, Text: "it does not run"}
	}
	for try := 0; ; try++ { // its runner writes once a second
		j.Stop = true
		if err = c.jobs.write(r.Context(), kv, j); err == nil || try == 4 {
			break
		}
		if kv, j, err = r.job(r.Context()); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	return r.seeOther(w, "replays/"+j.ID+"?done=stopping", j)
}

// goOn resumes a job whose process has ended, or that was stopped.
func (c *Console) goOn(w http.ResponseWriter, r *request) error {
	kv, j, err := r.job(r.Context())
	if err != nil {
		return err
	}
	if err := r.mayGoOn(j); err != nil {
		return err
	}
	if !j.Resumable() {
		return &problem{Status: http.StatusConflict, Text: "there is nothing to resume: it is " + j.Now()}
	}
	perSecond, err := r.number("rate", uint64(j.Rate), mostRate)
	if err != nil {
		return err
	}
	j.Rate = int(perSecond)
	j.State, j.Error, j.Stop, j.By, j.From = running, "", false, r.user.Name, r.from()
	if err := c.jobs.write(r.Context(), kv, j); err != nil {
		return err
	}
	if err := c.jobs.begin(kv, j); err != nil {
		return err
	}
	return r.seeOther(w, "replays/"+j.ID, j)
}
