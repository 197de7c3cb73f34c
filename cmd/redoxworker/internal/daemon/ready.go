package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service"
)

// ReadyCommand asks the worker or the console beside it how it is: the health check of an image that has no
// shell.
type ReadyCommand struct {
	Address string        `placeholder:"HOST:PORT" help:"Where the worker serves its pages, or the console: 127.0.0.1:8468; by default admin.listen of the configuration."`
	Live    bool          `help:"Ask only whether it lives: a worker that waits for NATS does."`
	Timeout time.Duration `default:"3s" help:"How long it has to answer."`
}

// readyMost is how much of a page is read, in bytes: that of thousands of keys has some.
const readyMost = 64 << 20

// Run exits 0 when the worker is ready, 1 when it is not or does not answer.
func (c ReadyCommand) Run(ctx context.Context, a *cli.App) error {
	if c.Timeout <= 0 {
		return cli.Usagef("--timeout %v: it must be positive", c.Timeout)
	}
	address, err := c.address(a)
	if err != nil {
		return err
	}
	path := "/readyz"
	if c.Live {
		path = "/livez"
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	page, err := getPage(ctx, url.URL{Scheme: "http", Host: address, Path: path})
	if err != nil {
		return fmt.Errorf("the worker does not answer at %s: %w; does it run here, with this admin.listen?", address, err)
	}
	defer func() { _ = page.Body.Close() }()
	switch {
	case page.StatusCode == http.StatusOK && c.Live:
		fmt.Fprintln(a.Stdout, "live")
		return nil
	case page.StatusCode == http.StatusOK:
		fmt.Fprintln(a.Stdout, "ready")
		return nil
	}
	var now service.Status
	if page.StatusCode != http.StatusServiceUnavailable || json.NewDecoder(io.LimitReader(page.Body, readyMost)).Decode(&now) != nil {
		return fmt.Errorf("%s answers %d at %s; is it a worker?", address, page.StatusCode, path)
	}
	fmt.Fprintln(a.Stdout, describe(now, false))
	return cli.ErrReported
}

// address asks the file last: a worker goes on with what it has read while its file is being edited.
func (c ReadyCommand) address(a *cli.App) (string, error) {
	listen := cmp.Or(c.Address, a.Globals.Set["admin.listen"], a.Env("REDOXWORKER_ADMIN_LISTEN"))
	if listen == "" {
		settings, err := config.Load(a.Settings(cli.NATSOnly))
		if err != nil {
			return "", err
		}
		if listen = settings.Admin.Listen; listen == "" {
			listen = "off"
		}
	}
	if listen == "off" {
		return "", cli.Usagef("admin.listen is off: this worker serves no page to ask")
	}
	listen = strings.TrimSuffix(strings.TrimPrefix(listen, "http://"), "/")
	if _, _, err := net.SplitHostPort(listen); err != nil || strings.ContainsAny(listen, "/?#@") {
		return "", cli.Usagef("the address %.100q: use host:port", listen)
	}
	return cli.Reachable(listen), nil // not a name: an image from scratch may have no file of hosts
}

// getPage asks no proxy: the page is of this host.
func getPage(ctx context.Context, at url.URL) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if cause := errors.Unwrap(err); cause != nil {
		err = cause // without the URL
	}
	return resp, err
}
