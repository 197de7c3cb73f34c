package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/checkcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service/access"
)

// tokenCommand asks for one token. It never prints it.
type tokenCommand struct {
	Key string `placeholder:"NAME" help:"Key to try. Default: the only one configured."`
}

// tokenReport is what may be said about a token.
type tokenReport struct {
	Key       string    `json:"key"`
	Type      string    `json:"type"`
	KID       string    `json:"kid,omitempty"`
	Server    string    `json:"server"`
	Issued    time.Time `json:"issued"`
	Expires   time.Time `json:"expires"`
	Lifetime  string    `json:"lifetime"`
	Scope     string    `json:"scope,omitempty"`
	SkewMS    int64     `json:"skew_ms"` // the local clock is so far ahead
	skewKnown bool
}

// Run asks for a token and says what came of it.
func (t tokenCommand) Run(ctx context.Context, a *cli.App) error {
	c, err := a.Load(config.PartSources | config.PartOrderSecret)
	if err != nil {
		return err
	}
	name, err := only("key", t.Key, c.Keys)
	if err != nil {
		return err
	}
	keys, done, err := probes(c, name)
	if err != nil {
		return err
	}
	defer done()
	r, err := report(ctx, keys.Get(name), c.Redox)
	if err != nil {
		return fmt.Errorf("keys.%s: %w", name, err)
	}
	if a.Globals.JSON {
		return json.NewEncoder(a.Stdout).Encode(r)
	}
	return r.print(a)
}

// probes are the credentials of the named keys, of all when none is named, for commands
// that try them. These report what they find, so nothing is logged. Call done at the end.
func probes(c *config.Config, names ...string) (keys *access.Keys, done func(), err error) {
	if len(names) > 0 {
		few := *c
		few.Keys = make(map[string]config.Key, len(names))
		for _, name := range names {
			few.Keys[name] = c.Keys[name]
		}
		c = &few
	}
	transport, err := access.NewTransport(c)
	if err != nil {
		return nil, nil, err
	}
	if keys, err = access.NewKeys(c, access.KeysOptions{Transport: transport}); err != nil {
		return nil, nil, err
	}
	return keys, transport.CloseIdleConnections, nil
}

func report(ctx context.Context, k *access.Key, redox config.Redox) (tokenReport, error) {
	r := tokenReport{Key: k.Name, Type: k.Config.Type, Server: config.NewURL(redox.TokenURL).String()}
	var minter auth.Minter = k.OAuth
	skew := k.OAuth.Skew
	if k.Legacy != nil {
		minter, skew, r.Server = k.Legacy, k.Legacy.Skew, config.NewURL(redox.LegacyURL).String()
	}
	token, err := minter.Mint(ctx)
	if err != nil {
		return r, err
	}
	if k.OAuth != nil {
		r.KID = k.OAuth.KeyInUse().ID()
	}
	r.Issued, r.Expires, r.Scope = token.IssuedAt.UTC(), token.Expires.UTC(), token.Scope
	r.Lifetime = token.Lifetime().Round(time.Second).String()
	ahead, known := skew()
	r.SkewMS, r.skewKnown = ahead.Milliseconds(), known
	return r, nil
}

func (r tokenReport) print(a *cli.App) error {
	w := tabwriter.NewWriter(a.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "key\t%s (%s)\n", r.Key, r.Type)
	if r.KID != "" {
		fmt.Fprintf(w, "kid\t%s\n", r.KID)
	}
	fmt.Fprintf(w, "server\t%s\n", r.Server)
	fmt.Fprintf(w, "expires\t%s (lifetime %s)\n", r.Expires.Format(time.RFC3339), r.Lifetime)
	fmt.Fprintf(w, "scope\t%s\n", cmp.Or(r.Scope, "none"))
	fmt.Fprintf(w, "clock\t%s\n", checkcmd.ClockText(time.Duration(r.SkewMS)*time.Millisecond, r.skewKnown))
	return w.Flush()
}

// only is the name asked for, or the only one there is. what names the flag.
func only[T any](what, asked string, have map[string]T) (string, error) {
	names := slices.Sorted(maps.Keys(have))
	list := strings.Join(names, ", ")
	switch {
	case asked != "" && !slices.Contains(names, asked):
		return "", cli.Usagef("--%s: no %s is called %q; configured: %s", what, what, asked, cmp.Or(list, "none"))
	case asked != "":
		return asked, nil
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", cli.Usagef("--%s: missing, and the configuration has no %s; name one", what, what)
	default:
		return "", cli.Usagef("--%s: missing, and there are several; name one of %s", what, list)
	}
}
