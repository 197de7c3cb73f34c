package redox

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"
)

// sender is a Source, ready to use.
type sender struct {
	Source
	name        string
	credentials Credentials
	idHeader    []string // shared by all requests; never changed; nil without an ID
	insert      insertions
	plain       atomic.Pointer[plainHeader]
}

func newSender(name string, s Source, k Credentials) *sender {
	ready := &sender{Source: s, name: name, credentials: k}
	if s.ID != "" {
		ready.idHeader, ready.insert = []string{s.ID}, newInsertions(s.ID)
	}
	return ready
}

// is reports whether the sender is that of s and k.
func (s *sender) is(source Source, k Credentials) bool {
	return s.Source == source && same(s.credentials, k)
}

// same reports whether two credentials are one; those that cannot be compared are not.
func same(a, b Credentials) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// SetSources replaces the sources, each of which names one of keys, all at once. The maps are
// copied. After an error, which names every problem, everything is as it was before.
//
// Deliveries under way end as they began, with the ID and the credentials that their source
// had then; later ones see the new sources. Where [Client.Deliver] is called for a source that
// is gone, its error wraps [ErrUnknownSource]: have whoever calls it stop first. A source that
// did not change notices nothing, and no connection is closed. SetSources does not block and
// is safe for concurrent use; of two at once the sources are those of one of them.
func (c *Client) SetSources(sources map[string]Source, keys map[string]Credentials) error {
	var old map[string]*sender
	if p := c.sources.Load(); p != nil {
		old = *p
	}
	next := make(map[string]*sender, len(sources))
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		s, k := sources[name], keys[sources[name].Key]
		if err := s.validate(name, keys); err != nil {
			errs = append(errs, err)
			continue
		}
		if next[name] = old[name]; next[name] == nil || !next[name].is(s, k) {
			next[name] = newSender(name, s, k)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.sources.Store(&next)
	return nil
}

// sender of a source; nil where it is not configured.
func (c *Client) sender(source string) *sender { return (*c.sources.Load())[source] }

// insertions are the texts that fill each kind of gap with one Source ID.
type insertions [gapEmptyID + 1][]byte

func newInsertions(id string) (in insertions) {
	for kind := range in {
		in[kind] = insertion(gapKind(kind), "Source", "ID", id)
	}
	return in
}

// insertion is the text that fills a gap in object.member, as Meta has its Source.ID.
func insertion(kind gapKind, object, member, id string) []byte {
	quoted, _ := jsontext.AppendQuote(nil, id) // an ID is checked before, and is ASCII
	named := `"` + member + `":` + string(quoted)
	switch kind {
	case gapEmptyMeta:
		return []byte(`"` + object + `":{` + named + `}`)
	case gapNoSource:
		return []byte(`"` + object + `":{` + named + `},`)
	case gapNullSource:
		return []byte(`{` + named + `}`)
	case gapEmptySource:
		return []byte(named)
	case gapNoID:
		return []byte(named + `,`)
	case gapEmptyID:
		return quoted
	}
	return nil
}
