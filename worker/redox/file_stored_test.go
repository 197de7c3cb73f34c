package redox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
)

// stored is a file message whose body is in the object store. What is opened and not closed
// would be waited for without end.
func stored(size int, open *sync.WaitGroup, content func() io.Reader) outbox.Message {
	m := fileMessage("application/pdf", nil)
	m.BodyObject, m.BodySize = "clinic-a/x", int64(size)
	m.OpenBody = func(context.Context) (io.ReadCloser, error) {
		open.Add(1)
		return closing{content(), open}, nil
	}
	return m
}

type closing struct {
	io.Reader
	open *sync.WaitGroup
}

func (c closing) Close() error { c.open.Done(); return nil }

func TestFile_FromTheObjectStore(t *testing.T) {
	t.Parallel()
	// The first token is refused, so the file is read and sent twice.
	n := new(atomic.Int64)
	r := serve(t, func(w http.ResponseWriter, a arrival) {
		if n.Add(1) == 1 {
			respond(401, "")(w, a)
			return
		}
		respond(201, uploadAnswer, "Content-Type", "application/json")(w, a)
	})
	body := bytes.Repeat([]byte("%PDF\r\n--\x00\xff"), 100_000)
	open := new(sync.WaitGroup)
	a, err := client(t, "http://127.0.0.1:1", &keyring{}, toBlob(r.URL)).Deliver(t.Context(), stored(len(body), open, func() io.Reader { return bytes.NewReader(body) }))
	if err != nil || a.Status != 201 || len(r.seen()) != 2 {
		t.Fatalf("%v %+v, %d requests", err, a, len(r.seen()))
	}
	for _, seen := range r.seen() {
		if _, _, content := form(t, seen); !bytes.Equal(content, body) {
			t.Errorf("%d bytes arrived", len(content))
		}
	}
	open.Wait()
}

// A body that cannot be read to its end breaks the request off.
func TestFile_StoreFails(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(201, uploadAnswer, "Content-Type", "application/json"))
	c := client(t, "http://127.0.0.1:1", &keyring{}, toBlob(r.URL))
	lost := errors.New("lost")
	open := new(sync.WaitGroup)
	_, err := c.Deliver(t.Context(), stored(1<<20, open, func() io.Reader {
		return io.MultiReader(strings.NewReader(strings.Repeat("x", 1<<19)), iotest.ErrReader(lost))
	}))
	if err == nil {
		t.Error("no error though half of the body was lost")
	}
	open.Wait()
	m := stored(1<<20, open, nil)
	m.OpenBody = func(context.Context) (io.ReadCloser, error) { return nil, lost }
	if _, err := c.Deliver(t.Context(), m); err == nil {
		t.Error("no error though the body was never found")
	}
}

func TestFile_StoredSizeIsGuarded(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1", &keyring{}, func(c *Config, _ *Source) { c.MaxFile = 10 })
	for _, size := range []int{0, 11} {
		open := new(sync.WaitGroup)
		_, err := c.Deliver(t.Context(), stored(size, open, func() io.Reader { return strings.NewReader("") }))
		var e *Error
		if !errors.As(err, &e) || !e.Poison() {
			t.Errorf("%d bytes: %v, want poison", size, err)
		}
	}
}

// A store that says nothing does not outlast the time limit of the request.
func TestFile_StoreThatNeverAnswers(t *testing.T) {
	t.Parallel()
	inBubble(t, stall, func(t *testing.T, c *Client) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		m := stored(10, new(sync.WaitGroup), nil)
		m.OpenBody = func(ctx context.Context) (io.ReadCloser, error) { <-ctx.Done(); return nil, ctx.Err() }
		start := time.Now()
		_, err := c.Deliver(ctx, m)
		if e := failure(t, err); !errors.Is(err, ErrTimeout) || !e.Attempted() {
			t.Errorf("%+v", e)
		}
		if took := time.Since(start); took != 150*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
