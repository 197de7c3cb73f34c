package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/worker/service"
)

// ReadyCommand asks the worker beside it how it is: the health check of an image that has no shell.
type ReadyCommand struct {
	Address string        `placeholder:"HOST:PORT" help:"Where the worker serves its pages; by default admin.listen of the configuration."`
	Live    bool          `help:"Ask only whether it lives: a worker that waits for NATS does."`
	Timeout time.Duration `default:"3s" help:"How long it has to answer."`
}

// readyMost is how much of a page is read.
const readyMost = 1 << 20

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
	status, page, err := getPage(ctx, "http://"+address+path)
	switch {
	case err != nil:
		return fmt.Errorf("the worker does not answer at %s: %w; does it run here, with this admin.listen?", address, err)
	case status == http.StatusOK && c.Live:
		fmt.Fprintln(a.Stdout, "live")
		return nil
	case status == http.StatusOK:
		fmt.Fprintln(a.Stdout, "ready")
		return nil
	}
	var now service.Status
	if status != http.StatusServiceUnavailable || json.Unmarshal(page, &now) != nil {
		return fmt.Errorf("%s answers %d at %s; is it a worker?", address, status, path)
	}
	fmt.Fprintln(a.Stdout, describe(now, false))
	return cli.ErrReported
}

// address asks the file last: a worker goes on with what it has read while its file is being edited.
func (c ReadyCommand) address(a *cli.App) (string, error) {
	listen := c.Address
	if listen == "" {
		listen = a.Env("REDOXWORKER_ADMIN_LISTEN")
	}
	if listen == "" {
		settings, err := config.Load(a.Settings(config.PartKeys | config.PartSources | config.PartOrderSecret))
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
	host, port, err := net.SplitHostPort(strings.TrimPrefix(listen, "http://"))
	if err != nil {
		return "", cli.Usagef("the address %.100q: use host:port", listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // not a name: an image from scratch may have no file of hosts
	}
	return net.JoinHostPort(host, port), nil
}

// getPage asks no proxy: the page is of this host.
func getPage(ctx context.Context, url string) (status int, page []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil {
			err = cause // without the URL
		}
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	page, err = io.ReadAll(io.LimitReader(resp.Body, readyMost))
	return resp.StatusCode, page, err
}
