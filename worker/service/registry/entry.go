package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/redoxworker/redoxworker/config"
)

// keyPrefix begins the keys of entries.
const keyPrefix = "source."

func keyOf(name string) string { return keyPrefix + name }

// value is what an entry holds.
type value struct {
	ID          string   `json:"id,omitempty"`
	Key         string   `json:"key"`
	Environment string   `json:"environment,omitempty"`
	SlugGuard   string   `json:"slug_guard,omitempty"`
	OnUnknown   string   `json:"on_unknown,omitempty"`
	Hold        []string `json:"hold,omitempty"`
}

func valueOf(s config.Source) value { return value(s) }

// Check fills in the defaults of a source, or says what is wrong with it. It reads nothing.
func (r *Registry) Check(name string, source config.Source) config.Part {
	return config.SourcePart(r.place(name), name, source)
}

// place of an entry, for people.
func (r *Registry) place(name string) string {
	return r.options.Prefix.SourcesBucket() + " " + keyOf(name)
}

// decode reads an entry. One that was written by hand and has a mistake is not guessed at.
func (r *Registry) decode(name string, data []byte) config.Part {
	var v value
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err := d.Decode(&v)
	if err == nil && d.More() {
		err = errors.New("something follows the object")
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return r.damaged(name, "is damaged: "+err.Error(), "store it anew with `redoxworker sources set "+name+" --id ID --key KEY`")
	}
	return r.Check(name, config.Source(v))
}

func (r *Registry) damaged(name, text, mend string) config.Part {
	return config.Part{Name: r.place(name), Problems: []config.Problem{{Key: "sources." + name, Text: text, Mend: mend, Where: r.place(name)}}}
}

const (
	// readSpan is how many sequence numbers one goroutine reads, and readers how many read.
	readSpan = 256
	readers  = 16
)

// read returns what was stored from one sequence number to another, removals among it.
func (r *Registry) read(ctx context.Context, stream jetstream.Stream, first, last uint64) ([]Entry, error) {
	if last < first {
		return nil, nil
	}
	spans := make([][]Entry, (last-first)/readSpan+1)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i := range spans {
		from := first + uint64(i)*readSpan
		group.Go(func() (err error) {
			spans[i], err = r.readSpan(ctx, stream, from, min(from+readSpan-1, last))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var all []Entry
	for _, span := range spans {
		all = append(all, span...)
	}
	return all, nil
}

func (r *Registry) readSpan(ctx context.Context, stream jetstream.Stream, from, to uint64) (entries []Entry, err error) {
	subjects := "$KV." + r.options.Prefix.SourcesBucket() + "."
	for from <= to {
		m, err := stream.GetMsg(ctx, from, jetstream.WithGetMsgSubject(subjects+">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return entries, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the registry: %w", err)
		}
		if m.Sequence > to {
			return entries, nil
		}
		from = m.Sequence + 1
		key := strings.TrimPrefix(m.Subject, subjects)
		name, ours := strings.CutPrefix(key, keyPrefix)
		e := Entry{Name: name, key: key, Revision: m.Sequence, Changed: m.Time}
		switch operation := m.Header.Get("KV-Operation"); {
		case operation == "DEL" || operation == "PURGE":
			e.removed = true
		case !ours:
			e.Part = config.Part{Name: subjects + key, Problems: []config.Problem{{Key: key, Text: "is no key of the registry",
				Mend: "remove it, and add the source with `redoxworker sources add`", Where: r.options.Prefix.SourcesBucket()}}}
		default:
			e.Part = r.decode(name, m.Data)
		}
		entries = append(entries, e)
	}
	return entries, nil
}
