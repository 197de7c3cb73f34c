// Package httpserve is a small HTTP server for operators and probes, whose use of resources is
// bounded however many slow clients there are.
package httpserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of a client of a small server. A scrape of thousands of sources takes a few seconds;
// probes take none.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second
	answerTimeout  = 30 * time.Second // from the end of the request's headers
	idleTimeout    = time.Minute
	maxHeaders     = 8 << 10
	// maxClients is how many connections are open at once: descriptors and memory belong to
	// messages. One more takes the place of one that is worth less.
	maxClients = 64
)

// Serve answers on the listener until ctx ends, to no more than 64 clients at once, and closes the
// listener. Requests under way then have 2 s to end. What net/http reports about clients is logged
// at level warn.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger) error {
	return ServeUpTo(ctx, listener, handler, log, maxClients)
}

// ServeUpTo is Serve with another bound of clients, for pages that are followed as long as somebody looks.
func ServeUpTo(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, clients int) error {
	return serveCrowd(ctx, listener, handler, log, newCrowd(clients))
}

func serveCrowd(ctx context.Context, listener net.Listener, handler http.Handler, log *slog.Logger, c *crowd) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaders, ConnState: c.follow, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(closing) != nil {
			_ = server.Close() // of those that are slow
		}
	})
	err := server.Serve(listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("listener %s: %w", listener.Addr(), err)
}

// crowd keeps the connections of a server to a number: when one more comes, another is
// closed. That is the one that has waited longest for a request or its headers, or, if all
// have sent one, that has taken longest with it. Whoever is new gets in.
type crowd struct {
	max int

	mu      sync.Mutex
	clients map[net.Conn]client
}

type client struct {
	state http.ConnState
	since time.Time
}

func newCrowd(most int) *crowd { return &crowd{max: most, clients: make(map[net.Conn]client)} }

// follow is the server's ConnState: it is called before a new connection is served.
func (c *crowd) follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch _, known := c.clients[conn]; {
	case state == http.StateClosed || state == http.StateHijacked:
		delete(c.clients, conn)
		return
	case !known && state != http.StateNew:
		return // it has been closed to make room
	case !known && len(c.clients) >= c.max:
		worst := c.worst()
		delete(c.clients, worst)
		_ = worst.Close()
	}
	c.clients[conn] = client{state, time.Now()}
}

// worst is the connection to close. c.mu is held.
func (c *crowd) worst() (worst net.Conn) {
	for conn, is := range c.clients {
		than, busy := c.clients[worst], is.state == http.StateActive
		switch thanBusy := than.state == http.StateActive; {
		case worst == nil, !busy && thanBusy, busy == thanBusy && is.since.Before(than.since):
			worst = conn
		}
	}
	return worst
}
