package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Stray are messages of the work queue that no worker reads: of one lane of a source that none serves, or
// of one subject that no lane has.
type Stray struct {
	// Subject is as much of it as may be shown, * for order tokens, … for what may be anything.
	Subject string `json:"subject"`
	// Source is empty where the subject names none, Lane where no lane has it.
	Source string        `json:"source,omitempty"`
	Lane   contract.Lane `json:"lane,omitempty"`
	// Messages are so many under so many subjects.
	Messages uint64 `json:"messages"`
	Subjects int    `json:"subjects"`
	// Oldest is when the first was stored; zero where that was not asked.
	Oldest time.Time `json:"oldest,omitzero"`
	// Why says why no worker reads them.
	Why string `json:"why"`
}

// StrayQuery says where to look for messages astray. The zero value is the whole queue.
type StrayQuery struct {
	// Source as the subject names it.
	Source string
	// Subject of the queue, with wildcards.
	Subject string
	// Serves reports whether a worker serves the source. nil means that nobody knows: then only what no
	// lane has is astray.
	Serves func(source string) bool
}

// Strays are messages astray as they were found.
type Strays struct {
	Kinds []Stray
	// Messages of all Kinds; Ordered are those of them with an order token.
	Messages, Ordered uint64
	// Unlearned says what was not looked at.
	Unlearned []string

	*found
}

// found is what is not shown of messages astray: a subject may have anything in it.
type found struct {
	query    StrayQuery
	filters  []string            // that cover them, and nothing that is not astray
	last     uint64              // of the queue, when they were found
	subjects map[string][]string // by that of the Stray; those with order tokens are not kept one by one
	tokens   map[string]bool     // of orders
}

const (
	// mostSubjects is up to how many subjects of the whole queue are asked for one by one: the server
	// counts them under the lock of the stream.
	mostSubjects = 20_000
	// mostFilters bounds the filters of a consumer: beyond, one is made after the other.
	mostFilters = 500
	// mostAsked bounds the kinds of which the oldest message is read.
	mostAsked = 64
)

// FindStrays looks for messages astray, and changes nothing.
func FindStrays(ctx context.Context, js jetstream.JetStream, p contract.Prefix, q StrayQuery) (Strays, error) {
	s := Strays{found: &found{query: q, subjects: map[string][]string{}, tokens: map[string]bool{}}}
	pattern, err := q.pattern(p)
	if err != nil {
		return s, err
	}
	stream, err := js.Stream(ctx, p.OutStream())
	if err != nil {
		return s, err
	}
	state := stream.CachedInfo().State
	s.last = state.LastSeq
	if q.Serves == nil {
		s.Unlearned = append(s.Unlearned, "sources that no worker serves: no worker told which it serves")
	}
	patterns := []string{pattern}
	if pattern == p.OutSubjects() && state.NumSubjects > mostSubjects {
		patterns = []string{p.String() + ".out.*", p.String() + ".out.*.*"}
		s.Unlearned = append(s.Unlearned, fmt.Sprintf("subjects with more than four parts, order tokens among them: the queue has %d subjects; name a source", state.NumSubjects))
	}
	kinds := map[string]*Stray{}
	served := false
	for _, pattern := range patterns {
		info, err := stream.Info(ctx, jetstream.WithSubjectFilter(pattern))
		if err != nil {
			return s, fmt.Errorf("counting what is stored under %s: %w", pattern, err)
		}
		for subject, n := range info.State.Subjects {
			served = !s.add(p, kinds, subject, n) || served
		}
	}
	for _, key := range slices.Sorted(maps.Keys(kinds)) {
		s.Kinds = append(s.Kinds, *kinds[key])
	}
	slices.SortStableFunc(s.Kinds, func(a, b Stray) int { return cmp.Compare(b.Messages, a.Messages) })
	s.cover(p, pattern, served)
	return s, s.ages(ctx, p, stream)
}

// pattern is what q selects.
func (q StrayQuery) pattern(p contract.Prefix) (string, error) {
	pattern := p.OutSubjects()
	switch {
	case q.Source != "" && q.Subject != "":
		return "", errors.New("worker: a source and a subject: give one of them")
	case q.Source != "":
		if err := contract.CheckSource(q.Source); err != nil {
			return "", err
		}
		return p.String() + ".out." + q.Source + ".>", nil
	case q.Subject == "":
		return pattern, nil
	case !strings.HasPrefix(q.Subject, p.String()+".out.") || strings.ContainsAny(q.Subject, " \t\r\n") || strings.Contains(q.Subject, "..") || strings.HasSuffix(q.Subject, "."):
		return "", fmt.Errorf("worker: the subject is none of the work queue: it begins with %s.out. and may have the wildcards * and >", p)
	}
	return q.Subject, nil
}

// reason says why no worker reads a subject; "" when one does, or may.
func (q StrayQuery) reason(p contract.Prefix, subject string) (source string, lane contract.Lane, why string) {
	source, lane, _, _ = p.ParseOut(subject) // a token that is none is the worker's to settle
	switch {
	case contract.CheckSource(source) != nil:
		return "", "", "its subject names no source"
	case lane == "":
		return source, "", "its subject has no lane: a worker reads send, send.<token> and request"
	case q.Serves != nil && !q.Serves(source):
		return source, lane, "no worker serves " + source
	}
	return source, lane, ""
}

// add counts a subject; false when a worker reads it.
func (s *Strays) add(p contract.Prefix, kinds map[string]*Stray, subject string, n uint64) bool {
	source, lane, why := s.query.reason(p, subject)
	if why == "" {
		return false
	}
	key := subject
	switch lane {
	case contract.LaneOrdered:
		key = p.OrderedSubject(source, "*")
		s.Ordered += n
		s.tokens[subject[strings.LastIndexByte(subject, '.')+1:]] = true
	case "":
		key = shownSubject(p, subject)
	}
	k := kinds[key]
	if k == nil {
		k = &Stray{Subject: key, Source: source, Lane: lane, Why: why}
		kinds[key] = k
	}
	k.Messages += n
	s.Messages += n
	if k.Subjects++; lane != contract.LaneOrdered {
		s.subjects[key] = append(s.subjects[key], subject)
	}
	return true
}

// laneWords are those that stand for a lane, or are taken for one. Any other word may be a name.
var laneWords = []string{"send", "sends", "sent", "sned", "request", "requests", "order", "orders", "ordered"}

// shownSubject is as much of a subject as holds nothing of a patient: a source's name, and a word for a
// lane.
func shownSubject(p contract.Prefix, subject string) string {
	parts := strings.Split(strings.TrimPrefix(subject, p.String()+".out."), ".")
	if contract.CheckSource(parts[0]) != nil {
		parts[0] = "…"
	}
	if len(parts) > 1 && !slices.Contains(laneWords, strings.ToLower(parts[1])) {
		parts[1] = "…"
	}
	if len(parts) > 2 {
		parts = append(parts[:2], "…")
	}
	return p.String() + ".out." + strings.Join(parts, ".")
}

// cover makes the filters: the pattern itself where all under it is astray and stays so.
func (s *Strays) cover(p contract.Prefix, pattern string, served bool) {
	source, _, _ := strings.Cut(strings.TrimPrefix(pattern, p.String()+".out."), ".")
	if !served && contract.CheckSource(source) == nil && s.query.Serves != nil && !s.query.Serves(source) {
		s.filters = []string{pattern}
		return
	}
	tokens := false
	for _, k := range s.Kinds {
		if s.filters = append(s.filters, s.subjects[k.Subject]...); k.Lane == contract.LaneOrdered {
			s.filters, tokens = append(s.filters, k.Subject), true
		}
	}
	slices.Sort(s.filters)
	if tokens && strings.Contains(pattern, "*") { // a pattern of its own may select a part of them
		s.Unlearned = append(s.Unlearned, "subjects that the pattern does not select: all of the lane are taken")
	}
}

// Behind counts the order tokens of s of which a source has messages already: what is moved there comes
// behind these, though it may be older. Where the source has too many, known is false.
func (s Strays) Behind(ctx context.Context, js jetstream.JetStream, p contract.Prefix, source string) (tokens int, known bool, err error) {
	if len(s.tokens) == 0 {
		return 0, true, nil
	}
	stream, err := js.Stream(ctx, p.OutStream())
	if err != nil {
		return 0, false, err
	}
	if stream.CachedInfo().State.NumSubjects > mostSubjects {
		return 0, false, nil
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(p.OrderedSubject(source, "*")))
	if err != nil {
		return 0, false, err
	}
	for subject := range info.State.Subjects {
		if s.tokens[subject[strings.LastIndexByte(subject, '.')+1:]] {
			tokens++
		}
	}
	return tokens, true, nil
}

// ages reads the first message of the largest kinds.
func (s *Strays) ages(ctx context.Context, p contract.Prefix, stream jetstream.Stream) error {
	for i := range s.Kinds[:min(len(s.Kinds), mostAsked)] {
		k := &s.Kinds[i]
		subject := k.Subject
		if all := s.subjects[subject]; len(all) == 1 {
			subject = all[0]
		} else if len(all) > 1 {
			continue
		}
		msg, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(subject))
		if err == nil {
			k.Oldest = msg.Time
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	return nil
}
