package overview

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
)

// lookAtPauses reads those that workers share.
func (x *gathering) lookAtPauses(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.config.Timeout)
	defer cancel()
	list, err := worker.NewPauses(x.js, x.config.Prefix, "").List(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, p := range list {
		x.view.Pauses = append(x.view.Pauses, Pause{Paused: p})
	}
	return err
}

// lookAtQuotas reads the book of every group that there is.
func (x *gathering) lookAtQuotas(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.config.Timeout)
	defer cancel()
	stream, err := x.js.Stream(ctx, "KV_"+x.config.Prefix.StateBucket())
	if err != nil {
		return err
	}
	keys := "$KV." + x.config.Prefix.StateBucket() + "."
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(keys+quota.Key("*")))
	if err != nil {
		return err
	}
	var errs []error
	for subject := range info.State.Subjects {
		group, ok := strings.CutPrefix(strings.TrimPrefix(subject, keys), quota.Key(""))
		if !ok {
			continue
		}
		usage, known, err := quota.Read(ctx, x.js, x.config.Prefix, group)
		errs = append(errs, err)
		if known {
			x.mu.Lock()
			x.view.Quotas = append(x.view.Quotas, Quota{Group: group, Usage: usage})
			x.mu.Unlock()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	slices.SortFunc(x.view.Quotas, func(a, b Quota) int { return cmp.Compare(a.Group, b.Group) })
	return errors.Join(errs...)
}

// lookAtReconcile counts the logs that are followed, where any are.
func (x *gathering) lookAtReconcile(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, x.config.Timeout)
	defer cancel()
	stream, err := x.js.Stream(ctx, x.config.Prefix.ReconcileStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	info := stream.CachedInfo()
	r := &Reconcile{Logs: info.State.Msgs}
	if r.Logs > 0 {
		r.Age = max(0, info.TimeStamp.Sub(info.State.FirstTime))
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.view.Reconcile = r
	return nil
}
