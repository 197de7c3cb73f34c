package dlq

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Query selects dead letters. A field that is empty selects all; the
// fields are joined by and, the values of one field by or.
type Query struct {
	// Sources by name; outbox.NoSource stands for dead letters whose subject named none.
	Sources []string
	// SourcePatterns are patterns of sources, as those of path.Match: "clinic-*". Only "*" selects
	// those whose subject named no source. The patterns are compared with each dead letter, while
	// Sources are looked up by subject.
	SourcePatterns []string
	// Places are places of dead letters in their stream, see [Stored.DeadSequence]. Through is the last
	// place to be selected: dead letters that are stored later are left out. 0 means no bound.
	Places  []uint64
	Through uint64
	// Settlements, all but Delivered.
	Settlements []outbox.Settlement
	// IDs are message ids. One may be in use by several sources: name the source too.
	IDs []string
	// WithReplays selects the replays of the IDs as well.
	WithReplays bool
	// DataModels and EventTypes of the body's Meta, as [contract.SafeName] shows them: NoName
	// stands for all that are not shown. Bodies in the object store are read only
	// for these.
	DataModels, EventTypes []string
	// Kinds of message, and Statuses of the last answer: "400", "4xx" for all of a hundred, "none"
	// where none came.
	Kinds    []outbox.Kind
	Statuses []string
	// Errors are parts of the error's text, whatever the case of their letters.
	Errors []string
	// OrderTokens are those of ordered messages.
	OrderTokens []string
	// Replays selects messages that were replayed at least this often.
	Replays int
	// Since and Until bound the instant of the settlement: Since <= At < Until.
	Since, Until time.Time
	// Stored selects dead letters that were stored then or later. It limits what is read, whereas
	// every dead letter is read to compare Since.
	Stored time.Time
	// Models fills in DataModel and EventType of each dead letter whose body is not in
	// the object store. It has all bodies read.
	Models bool

	ids map[string]bool // of IDs, where they are many; see indexed
}

// indexed is q for a look at many dead letters.
func (q Query) indexed() Query {
	if len(q.IDs) > 8 {
		q.ids = make(map[string]bool, len(q.IDs))
		for _, id := range q.IDs {
			q.ids[id] = true
		}
	}
	return q
}

// names reports whether q selects a message id.
func (q Query) names(id string) bool {
	if q.ids != nil {
		return q.ids[id]
	}
	return within(q.IDs, id)
}

// Validate reports every value that no dead letter can have.
func (q Query) Validate() error {
	var errs []error
	for _, source := range q.Sources {
		if source != contract.NoSource {
			errs = append(errs, contract.CheckSource(source))
		}
	}
	for _, pattern := range q.SourcePatterns {
		if _, err := path.Match(pattern, ""); err != nil {
			errs = append(errs, fmt.Errorf("outbox: %q is no pattern of sources: use clinic-*, say", wire.Clip(pattern)))
		}
	}
	for _, s := range q.Settlements {
		if !s.Valid() || s == outbox.Delivered {
			errs = append(errs, fmt.Errorf("outbox: settlement %q: use rejected, expired, exhausted, held or poison", wire.Clip(string(s))))
		}
	}
	for _, k := range q.Kinds {
		switch k {
		case outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform:
		default:
			errs = append(errs, fmt.Errorf("outbox: kind %q: use data-model, fhir, file or platform", wire.Clip(string(k))))
		}
	}
	for _, s := range q.Statuses {
		if !isStatus(s) {
			errs = append(errs, fmt.Errorf("outbox: status %q: use 400, say, or 4xx, or none", wire.Clip(s)))
		}
	}
	for _, token := range q.OrderTokens {
		if !wire.IsOrderToken(token) {
			errs = append(errs, errors.New("outbox: an order token is 32 lower-case hex digits"))
		}
	}
	for _, text := range q.Errors {
		if strings.TrimSpace(text) == "" {
			errs = append(errs, errors.New("outbox: an error text is empty: it would select all"))
		}
	}
	if q.Replays < 0 {
		errs = append(errs, fmt.Errorf("outbox: %d replays: use 1 or more", q.Replays))
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		errs = append(errs, errors.New("outbox: Until is not after Since: nothing lies between"))
	}
	return errors.Join(errs...)
}

// subjects are the narrowest filters of the stream that cover q. Without any
// they cover also what no worker wrote.
func (q Query) subjects(p contract.Prefix) []string {
	sources, settlements := q.Sources, q.Settlements
	if len(sources)+len(settlements) == 0 {
		return []string{p.String() + ".dlq.>"}
	}
	if len(sources) == 0 {
		sources = []string{"*"}
	}
	if len(settlements) == 0 {
		settlements = []outbox.Settlement{"*"}
	}
	var all []string
	for _, source := range sources {
		for _, s := range settlements {
			all = append(all, p.DeadSubject(source, string(s), "*"))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// matches reports whether q selects l, but for the body.
func (q Query) matches(l *Stored) bool {
	source := l.Source
	if source == "" {
		source = contract.NoSource
	}
	return within(q.Sources, source) && q.matchesPlace(source, l.DeadSequence) && within(q.Settlements, l.Settlement) && (q.names(l.MessageID) || q.WithReplays && q.names(l.replayOf())) && q.matchesHeaders(l) &&
		(q.Since.IsZero() || !l.At.Before(q.Since)) && (q.Until.IsZero() || l.At.Before(q.Until))
}

// matchesPlace reports whether q selects a source by its pattern, and a place in the stream.
func (q Query) matchesPlace(source string, sequence uint64) bool {
	return within(q.Places, sequence) && (q.Through == 0 || sequence <= q.Through) && (len(q.SourcePatterns) == 0 || slices.ContainsFunc(q.SourcePatterns, func(pattern string) bool {
		matches, err := path.Match(pattern, source)
		return err == nil && matches && (source != contract.NoSource || pattern == "*")
	}))
}

// replayOf is the one of IDs of which l is a replay, if q selects l but for its own id.
func (q Query) replayOf(l *Stored) (id string, ok bool) {
	if len(q.IDs) == 0 {
		return "", false
	}
	id = l.replayOf()
	ok = id != "" && q.names(id)
	q.IDs, q.ids = nil, nil
	return id, ok && q.matches(l) && (!q.wantsModel() || q.matchesModel(l))
}

// readsBodies reports whether bodies must be looked at.
func (q Query) readsBodies() bool { return q.Models || q.wantsModel() }

func (q Query) wantsModel() bool { return len(q.DataModels) > 0 || len(q.EventTypes) > 0 }

func (q Query) matchesModel(l *Stored) bool {
	return within(q.DataModels, l.DataModel) && within(q.EventTypes, l.EventType)
}

// matchesHeaders reports whether q selects l by what its headers say of the message.
func (q Query) matchesHeaders(l *Stored) bool {
	return (len(q.Kinds) == 0 || slices.Contains(q.Kinds, l.Kind())) &&
		(len(q.Statuses) == 0 || slices.ContainsFunc(q.Statuses, func(s string) bool { return hasStatus(s, l.Status) })) &&
		(len(q.Errors) == 0 || slices.ContainsFunc(q.Errors, func(r string) bool {
			return strings.Contains(strings.ToLower(l.Error), strings.ToLower(r))
		})) &&
		(len(q.OrderTokens) == 0 || slices.Contains(q.OrderTokens, subjectToken(l.Subject))) &&
		(q.Replays == 0 || l.replays() >= q.Replays)
}

// Kind is that of the message; empty where its header names none that there is.
func (d Letter) Kind() outbox.Kind {
	switch kind := outbox.Kind(wire.First(d.Header, contract.HeaderKind)); kind {
	case "":
		return outbox.KindDataModel
	case outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform:
		return kind
	}
	return ""
}

// replays is how often the message was replayed.
func (d Letter) replays() int {
	_, n := d.replayBase()
	return n
}

// subjectToken is the last part of a subject.
func subjectToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// noStatus stands for dead letters of messages that were never answered.
const noStatus = "none"

func isStatus(s string) bool {
	if n, err := strconv.Atoi(s); err == nil {
		return n >= 100 && n <= 999 && len(s) == 3
	}
	return s == noStatus || len(s) == 3 && s[0] >= '1' && s[0] <= '9' && strings.EqualFold(s[1:], "xx")
}

func hasStatus(want string, status int) bool {
	switch {
	case want == noStatus:
		return status == 0
	case strings.EqualFold(want[1:], "xx"):
		return status/100 == int(want[0]-'0')
	}
	return want == strconv.Itoa(status)
}

// String returns what q selects, as the flags of the command say it, without the ids. It holds what
// an operator has typed, and nothing of a dead letter.
func (q Query) String() string {
	var terms []string
	add := func(name string, values ...string) {
		for _, v := range values {
			terms = append(terms, name+"="+wire.Line(v))
		}
	}
	add("source", q.Sources...)
	add("source", q.SourcePatterns...)
	add("settlement", texts(q.Settlements)...)
	add("error", q.Errors...)
	add("status", q.Statuses...)
	add("kind", texts(q.Kinds)...)
	add("model", q.DataModels...)
	add("event", q.EventTypes...)
	add("order-token", q.OrderTokens...)
	if q.Replays > 0 {
		add("replays", strconv.Itoa(q.Replays))
	}
	if !q.Since.IsZero() {
		add("since", q.Since.UTC().Format(time.RFC3339))
	}
	if !q.Until.IsZero() {
		add("until", q.Until.UTC().Format(time.RFC3339))
	}
	if len(terms) == 0 && len(q.IDs) == 0 && len(q.Places) == 0 {
		return "all"
	}
	return strings.Join(terms, " ")
}

func texts[T ~string](all []T) []string {
	list := make([]string, 0, len(all))
	for _, one := range all {
		list = append(list, string(one))
	}
	return list
}

func within[T comparable](some []T, v T) bool { return len(some) == 0 || slices.Contains(some, v) }
