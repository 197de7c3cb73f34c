package checkcmd

import (
	"context"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// KeyResult is what trying one key pair or secret showed.
type KeyResult struct {
	Key string `json:"key"`
	OK  bool   `json:"ok"`
	auth.KeyCheck
	Error string `json:"error,omitempty"`
}

// TryKeys asks for a token with each key, current and next, some at a time; the results are in the
// order of their names.
func TryKeys(ctx context.Context, keys *access.Keys) ([]KeyResult, error) {
	all := keys.All()
	checks := make([][]auth.KeyCheck, len(all))
	var group errgroup.Group
	group.SetLimit(8)
	for i, key := range all {
		group.Go(func() error {
			checks[i] = tryKey(ctx, key)
			return nil
		})
	}
	_ = group.Wait() // nothing in it fails
	var results []KeyResult
	for i, key := range all {
		for _, c := range checks[i] {
			r := KeyResult{Key: key.Name, OK: c.OK(), KeyCheck: c}
			if c.Err != nil {
				r.Error = c.Err.Error()
			}
			results = append(results, r)
		}
	}
	return results, ctx.Err()
}

func tryKey(ctx context.Context, k *access.Key) []auth.KeyCheck {
	if k.Legacy != nil {
		return k.Legacy.Check(ctx)
	}
	return k.OAuth.Check(ctx)
}

// Name of the key, and of its pair where it has one.
func (r KeyResult) Name() string {
	if r.KeyID == "" {
		return r.Key
	}
	return r.Key + fmt.Sprintf(" (%s, %s, kid %q)", r.Role, r.Algorithm, r.KeyID)
}

// mend that the error does not say already.
func (r KeyResult) mend() string {
	if strings.Contains(r.Error, r.Mend) {
		return ""
	}
	return r.Mend
}

// String is one line: a tick with what was had, or a cross with the error and its mend.
func (r KeyResult) String() string {
	if !r.OK {
		line := "✗ " + r.Name() + ": " + r.Error
		if mend := r.mend(); mend != "" {
			line += "; " + mend
		}
		return line
	}
	line := fmt.Sprintf("✓ %s: token for %s (until %s), had in %s; clock %s", r.Name(), r.Lifetime.Round(time.Second),
		r.Expires.UTC().Format(time.RFC3339), took(r.Took), ClockText(r.Skew, r.SkewKnown))
	if r.Warning != "" {
		line += "; warning: " + r.Warning
	}
	return line
}

func took(d time.Duration) string { return max(d.Round(time.Millisecond), time.Millisecond).String() }

// ClockText says how the local clock stands to a server's, whose Date header has a resolution of
// one second.
func ClockText(ahead time.Duration, known bool) string {
	switch ahead = ahead.Round(time.Second); {
	case !known:
		return "the server did not say its time"
	case ahead.Abs() <= time.Second:
		return "right to the second"
	case ahead < 0:
		return (-ahead).String() + " behind the server's"
	default:
		return ahead.String() + " ahead of the server's"
	}
}

// checkKeysOf looks at the keys of a configuration, and asks for tokens with them if it is to.
func checkKeysOf(ctx context.Context, c *config.Config, token bool, r *report) {
	transport, err := access.NewTransport(c)
	if err != nil {
		r.faults(checkRedox, err) // as checkHosts does
		return
	}
	defer transport.CloseIdleConnections()
	keys, err := access.NewKeys(c, access.KeysOptions{Transport: transport})
	if err != nil {
		r.faults(checkKeys, err)
		return
	}
	if err := access.Distinct(keys.Public()); err != nil {
		r.faults(checkKeys, err)
	}
	for _, k := range keys.All() {
		if !c.UsesKey(k.Name) && k.Config.Type != config.KeyUser {
			r.warn(checkKeys, "keys."+k.Name, "no source uses it, and no token is asked for with it", "remove it, or name it in a source")
		}
	}
	if !token {
		r.fine(checkKeys, cli.Counted(len(c.Keys), "key")+" can be used; --token tries them")
		return
	}
	results, _ := TryKeys(ctx, keys)
	for _, k := range results {
		switch {
		case !k.OK:
			r.fault(checkKeys, k.Name(), strings.TrimSuffix(k.Error, ": "+k.Mend), k.Mend)
		case k.Warning != "":
			r.warn(checkClock, k.Name(), k.Warning, "set this host's clock")
		}
	}
	r.fine(checkKeys, "a token was had with "+counted(len(results), "key pair or secret", "key pairs or secrets"))
}

// faults of an error, one for each line.
func (r *report) faults(check string, err error) {
	for line := range strings.Lines(err.Error()) {
		text, mend := line, ""
		if i := strings.LastIndex(line, "; "); i >= 0 {
			text, mend = line[:i], line[i+2:]
		}
		r.fault(check, "", text, mend)
	}
}
