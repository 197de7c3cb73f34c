package redox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/workertest/bubble"
)

// pipes is a listener and a dialer in memory, for fake time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble runs f in fake time with a client of a server that answers with h.
func inBubble(t *testing.T, h http.HandlerFunc, f func(t *testing.T, c *Client), set ...setting) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{make(chan net.Conn), make(chan struct{})}
		s := &http.Server{Handler: h, ErrorLog: quiet}
		served := make(chan struct{})
		go func() { _ = s.Serve(p); close(served) }()
		tr, err := newTransport(TransportConfig{ProxyURL: "none"}, p.dial)
		if err != nil {
			t.Fatal(err)
		}
		f(t, client(t, "http://localhost", &keyring{}, append(set, using(tr))...))
		tr.CloseIdleConnections()
		s.Close()
		<-served
	})
}

// stall reads the request and answers only when it is over.
func stall(_ http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	<-q.Context().Done()
}

func TestDeliver_TimeoutIsOurs(t *testing.T) {
	t.Parallel()
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
		inBubble(t, stall, func(t *testing.T, c *Client) {
			start := time.Now()
			_, err := c.Deliver(t.Context(), message(lane, event))
			e := failure(t, err)
			if !errors.Is(err, ErrTimeout) || !e.Attempted() || e.UnknownOutcome() != (lane == contract.LaneSend) || e.Pauses() != "" {
				t.Errorf("%+v", e)
			}
			if took := time.Since(start); took != 150*time.Second {
				t.Errorf("took %v", took)
			}
			if !strings.Contains(e.SafeError(), "no answer within redox.timeout, 2m30s") {
				t.Error(e.SafeError())
			}
		})
	}
}

func TestDeliver_CallersEndIsTheCallers(t *testing.T) {
	t.Parallel()
	why := errors.New("worker: the lease of the message could not be renewed")
	for name, bound := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"cancel": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			stop := time.AfterFunc(time.Minute, func() { cancel(why) })
			return ctx, func() { stop.Stop(); cancel(nil) }
		},
		"timeout": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Minute, why)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, stall, func(t *testing.T, c *Client) {
				ctx, cancel := bound(t.Context())
				defer cancel()
				start := time.Now()
				_, err := c.Deliver(ctx, message(contract.LaneSend, event))
				e := failure(t, err)
				if !errors.Is(err, why) || errors.Is(err, ErrTimeout) || !e.Attempted() || !e.UnknownOutcome() || e.Pauses() != "" {
					t.Errorf("%+v", e)
				}
				if took := time.Since(start); took != time.Minute {
					t.Errorf("took %v", took)
				}
				if strings.Contains(e.SafeError(), "lease") {
					t.Errorf("the safe text quotes the cause: %s", e.SafeError())
				}
			})
		})
	}
}

func TestDeliver_TimeoutOff(t *testing.T) {
	t.Parallel()
	slow := func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		bubble.Sleep(time.Hour) // fake time: the bubble's
		_, _ = io.WriteString(w, accepted)
	}
	inBubble(t, slow, func(t *testing.T, c *Client) {
		if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
			t.Error(err)
		}
	}, func(c *Config, _ *Source) { c.Timeout = -1 })
}

func TestDeliver_NoConnectionInTimeIsNoAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dialing, stop := context.WithCancel(t.Context())
		tr, err := newTransport(TransportConfig{ProxyURL: "none"}, func(context.Context, string, string) (net.Conn, error) {
			<-dialing.Done()
			return nil, dialing.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
		c := client(t, "http://localhost", &keyring{}, using(tr))
		_, err = c.Deliver(t.Context(), message(contract.LaneSend, event))
		if e := failure(t, err); e.Attempted() || e.UnknownOutcome() || e.Pauses() != "host:localhost" || !errors.Is(err, ErrTimeout) {
			t.Errorf("%+v", e)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = c.Deliver(ctx, message(contract.LaneSend, event))
		if e := failure(t, err); e.Attempted() || e.UnknownOutcome() || e.Pauses() != "" {
			t.Errorf("the caller's end is no fault of the host: %+v", e)
		}
		stop()
	})
}

// drip sends the head of an answer and then stalls.
func drip(status int, head string) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Length", fmt.Sprint(len(head)+100))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, head)
		w.(http.Flusher).Flush()
		<-q.Context().Done()
	}
}

func TestDeliver_AnswerThatNeverEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, drip(200, accepted), func(t *testing.T, c *Client) {
		for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
			a, err := c.Deliver(t.Context(), message(lane, event))
			if err != nil || a.Status != 200 || string(a.Body) != accepted || a.Flag != "the answer ended early" || len(a.LogIDs) != 1 {
				t.Errorf("%s: %v %+v", lane, err, a)
			}
		}
	})
	inBubble(t, drip(503, "x"), func(t *testing.T, c *Client) {
		a, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
		if e := failure(t, err); e.Status() != 503 || e.UnknownOutcome() || a.Status != 503 {
			t.Errorf("%+v", e)
		}
	})
}

func TestDeliver_CancelledWhileTheAnswerIsRead(t *testing.T) {
	t.Parallel()
	why := errors.New("drained")
	inBubble(t, drip(200, accepted), func(t *testing.T, c *Client) {
		for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
			defer cancel()
			a, err := c.Deliver(ctx, message(lane, event))
			if lane == contract.LaneSend { // Redox has it: the status says so
				if err != nil || a.Flag != "the answer ended early" {
					t.Errorf("%v %+v", err, a)
				}
				continue
			}
			if e := failure(t, err); !errors.Is(err, why) || !e.Attempted() || e.Permanent() || e.UnknownOutcome() {
				t.Errorf("%+v", e)
			}
		}
	})
}

// A 400 is the destination's failure or the caller's mistake: its body says which.
func TestDeliver_CancelledWhileA400IsRead(t *testing.T) {
	t.Parallel()
	why := errors.New("drained")
	inBubble(t, drip(400, `{"Meta":{"Errors":[{"Type":"transmission"}]}}`), func(t *testing.T, c *Client) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		_, err := c.Deliver(ctx, message(contract.LaneRequest, event))
		if e := failure(t, err); !errors.Is(err, why) || !e.Attempted() || e.Permanent() || e.UnknownOutcome() {
			t.Errorf("%+v", e)
		}
	})
}
