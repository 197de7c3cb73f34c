package verdict_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/internal/verdict"
)

// foreign is an error of a package that does not import this one.
type foreign struct{ error }

func (foreign) Attempted() bool           { return false }
func (foreign) Pauses() string            { return "key:x" }
func (foreign) RetryAfter() time.Duration { return time.Minute }
func (foreign) SafeError() string         { return "safe" }

type doubtfulError struct{ error }

func (doubtfulError) DoubtfulOutcome() bool { return true }

func TestReadError_UnderstandsVerbsStructurally(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	wrapped := errors.Join(errors.New("around"), foreign{cause})
	if got, want := verdict.Read(wrapped), (verdict.Reading{Unsent: true, Pauses: "key:x", RetryAfter: time.Minute, SafeText: "safe"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := verdict.Read(cause), (verdict.Reading{SafeText: verdict.GenericText}); got != want || !got.Attempted() {
		t.Errorf("a plain error: %+v, want %+v", got, want)
	}
	both := worker.RetryAfter(worker.UnknownOutcome(worker.WithSafeText(cause, "text")), time.Second)
	if got, want := verdict.Read(both), (verdict.Reading{Unknown: true, RetryAfter: time.Second, SafeText: "text"}); got != want {
		t.Errorf("verbs together: %+v, want %+v", got, want)
	}
	if !errors.Is(both, cause) || worker.Permanent(nil) != nil {
		t.Error("a marked error must wrap its cause, and nil stay nil")
	}
}

// silent wraps an error, has every method, and has nothing to say.
type silent struct{ error }

func (s silent) Unwrap() error           { return s.error }
func (silent) Permanent() bool           { return false }
func (silent) Poison() bool              { return false }
func (silent) Held() bool                { return false }
func (silent) Attempted() bool           { return true }
func (silent) UnknownOutcome() bool      { return false }
func (silent) DoubtfulOutcome() bool     { return false }
func (silent) SourceRefused() bool       { return false }
func (silent) Trouble() bool             { return false }
func (silent) RetryAfter() time.Duration { return 0 }
func (silent) Pauses() string            { return "" }
func (silent) SafeError() string         { return "" }

var _ worker.Failure = silent{}

// disguised says what it is by As alone.
type disguised struct{ inner error }

func (disguised) Error() string        { return "disguised" }
func (d disguised) As(target any) bool { return errors.As(d.inner, target) }

// says is what the verbs say of an error, and what is said of it by methods.
var says = map[string]struct {
	mark func(error) error
	want verdict.Reading
}{
	"nothing":       {func(err error) error { return err }, verdict.Reading{}},
	"permanent":     {worker.Permanent, verdict.Reading{Permanent: true}},
	"poison":        {worker.Poison, verdict.Reading{Poison: true}},
	"held":          {worker.Held, verdict.Reading{Held: true}},
	"unknown":       {worker.UnknownOutcome, verdict.Reading{Unknown: true}},
	"doubtful":      {func(err error) error { return doubtfulError{err} }, verdict.Reading{Doubtful: true}},
	"not attempted": {func(err error) error { return worker.NotAttempted(err, "key:main") }, verdict.Reading{Unsent: true, Pauses: "key:main"}},
	"not attempted, pausing nothing": {
		func(err error) error { return worker.NotAttempted(err, "") }, verdict.Reading{Unsent: true}},
	"retry after": {func(err error) error { return worker.RetryAfter(err, time.Hour) }, verdict.Reading{RetryAfter: time.Hour}},
	"safe text":   {func(err error) error { return worker.WithSafeText(err, "inner") }, verdict.Reading{SafeText: "inner"}},
}

// wrappers are the ways to pass an error on, and what each of them adds.
var wrappers = map[string]struct {
	wrap func(error) error
	adds verdict.Reading
}{
	"as it is":       {func(err error) error { return err }, verdict.Reading{}},
	"%w":             {func(err error) error { return fmt.Errorf("x: %w", err) }, verdict.Reading{}},
	"%w first":       {func(err error) error { return fmt.Errorf("%w and %w", err, errors.New("other")) }, verdict.Reading{}},
	"%w second":      {func(err error) error { return fmt.Errorf("%w and %w", errors.New("other"), err) }, verdict.Reading{}},
	"joined first":   {func(err error) error { return errors.Join(err, errors.New("other")) }, verdict.Reading{}},
	"joined last":    {func(err error) error { return errors.Join(errors.New("other"), errors.New("other"), err) }, verdict.Reading{}},
	"own type":       {func(err error) error { return silent{err} }, verdict.Reading{}},
	"As":             {func(err error) error { return disguised{err} }, verdict.Reading{}},
	"WithSafeText":   {func(err error) error { return worker.WithSafeText(err, "outer") }, verdict.Reading{SafeText: "outer"}},
	"no safe text":   {func(err error) error { return worker.WithSafeText(err, "") }, verdict.Reading{}},
	"RetryAfter":     {func(err error) error { return worker.RetryAfter(err, time.Minute) }, verdict.Reading{RetryAfter: time.Minute}},
	"RetryAfter −1":  {func(err error) error { return worker.RetryAfter(err, -1) }, verdict.Reading{}},
	"Permanent":      {worker.Permanent, verdict.Reading{Permanent: true}},
	"Poison":         {worker.Poison, verdict.Reading{Poison: true}},
	"Held":           {worker.Held, verdict.Reading{Held: true}},
	"UnknownOutcome": {worker.UnknownOutcome, verdict.Reading{Unknown: true}},
	"NotAttempted":   {func(err error) error { return worker.NotAttempted(err, "") }, verdict.Reading{Unsent: true}},
	"several": {func(err error) error {
		return worker.RetryAfter(fmt.Errorf("x: %w", errors.Join(errors.New("y"), worker.WithSafeText(fmt.Errorf("z: %w", err), "outer"))), time.Second)
	}, verdict.Reading{SafeText: "outer", RetryAfter: time.Second}},
}

// Whatever an error is wrapped in, it says what it said, and what the wrapper adds.
func TestReadError_AVerbAddsToWhatTheChainSays(t *testing.T) {
	t.Parallel()
	for said, s := range says {
		for wrapped, w := range wrappers {
			want := w.adds
			want.Wrap(s.want)
			if want.SafeText == "" {
				want.SafeText = verdict.GenericText
			}
			want.Unsent = !want.Attempted()
			err := w.wrap(s.mark(errors.New("cause")))
			if got := verdict.Read(err); got != want {
				t.Errorf("%s, %s:\n got %+v\nwant %+v", said, wrapped, got, want)
			}
			f, ok := err.(worker.Failure) // what others see of it who ask for the methods
			if ok && w.adds != (verdict.Reading{}) && (f.Permanent() != want.Permanent || f.Poison() != want.Poison || f.Held() != want.Held ||
				f.Attempted() != want.Attempted() || f.UnknownOutcome() != want.Unknown || f.DoubtfulOutcome() != want.Doubtful ||
				f.RetryAfter() != want.RetryAfter || f.Pauses() != want.Pauses) {
				t.Errorf("%s, %s: its methods differ from %+v", said, wrapped, want)
			}
		}
	}
}

func TestReadError_Precedence(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	text := worker.WithSafeText
	for name, tc := range map[string]struct {
		err  error
		want verdict.Reading
	}{
		"the longest wait, outside": {worker.RetryAfter(worker.RetryAfter(cause, time.Second), time.Minute), verdict.Reading{RetryAfter: time.Minute}},
		"the longest wait, inside":  {worker.RetryAfter(worker.RetryAfter(cause, time.Minute), time.Second), verdict.Reading{RetryAfter: time.Minute}},
		"the longest wait, joined":  {errors.Join(worker.RetryAfter(cause, time.Second), worker.RetryAfter(cause, time.Minute)), verdict.Reading{RetryAfter: time.Minute}},
		"the outermost scope":       {worker.NotAttempted(worker.NotAttempted(cause, "key:a"), "key:b"), verdict.Reading{Unsent: true, Pauses: "key:b"}},
		"the first scope, joined":   {errors.Join(cause, worker.NotAttempted(cause, "key:a"), worker.NotAttempted(cause, "key:b")), verdict.Reading{Unsent: true, Pauses: "key:a"}},
		"the outermost text":        {text(fmt.Errorf("x: %w", text(cause, "inner")), "outer"), verdict.Reading{SafeText: "outer"}},
		"the deciding text": {errors.Join(text(cause, "temporary"), worker.Permanent(text(cause, "permanent")), worker.NotAttempted(text(cause, "unsent"), "")),
			verdict.Reading{Permanent: true, Unsent: true, SafeText: "permanent"}},
		"the only text": {errors.Join(text(cause, "temporary"), worker.Permanent(cause)), verdict.Reading{Permanent: true, SafeText: "temporary"}},
		"what the other branch says": {fmt.Errorf("%w; %w", worker.UnknownOutcome(cause), errors.Join(worker.Held(cause), worker.Permanent(cause))),
			verdict.Reading{Unknown: true, Held: true, Permanent: true}},
	} {
		if tc.want.SafeText == "" {
			tc.want.SafeText = verdict.GenericText
		}
		if got := verdict.Read(tc.err); got != tc.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tc.want)
		}
	}
	for name, err := range map[string]error{
		"unknown inside":  worker.NotAttempted(worker.UnknownOutcome(cause), "key:a"),
		"unknown outside": worker.UnknownOutcome(worker.NotAttempted(cause, "key:a")),
		"unknown beside":  errors.Join(worker.NotAttempted(cause, "key:a"), worker.UnknownOutcome(cause)),
		"doubtful inside": worker.NotAttempted(doubtfulError{cause}, ""),
	} {
		if !verdict.Read(err).Attempted() {
			t.Errorf("%s: what may have arrived is not counted", name)
		}
	}
}

// fragile panics wherever it is asked, as a nil pointer in an error does.
type fragile struct{ text string }

func (f *fragile) Error() string             { return f.text }
func (f *fragile) Unwrap() error             { return errors.New(f.text) }
func (f *fragile) Permanent() bool           { return f.text != "" }
func (f *fragile) Attempted() bool           { return f.text != "" }
func (f *fragile) RetryAfter() time.Duration { return time.Duration(len(f.text)) }
func (f *fragile) Pauses() string            { return f.text }
func (f *fragile) SafeError() string         { return f.text }

// textless has a method that panics and decides nothing.
type textless struct{ error }

func (textless) SafeError() string { panic("text") }

type selfish struct{}

func (selfish) Error() string     { return "selfish" }
func (s selfish) Unwrap() []error { return []error{s, s} }

func TestReadError_SurvivesWhatItReads(t *testing.T) {
	t.Parallel()
	var nothing *fragile
	for name, tc := range map[string]struct {
		err  error
		want verdict.Reading
	}{
		"a typed nil":            {nothing, verdict.Reading{Unknown: true}},
		"a wrapped typed nil":    {worker.RetryAfter(fmt.Errorf("x: %w", error(nothing)), time.Second), verdict.Reading{Unknown: true, RetryAfter: time.Second}},
		"a typed nil beside":     {errors.Join(worker.Permanent(errors.New("x")), nothing), verdict.Reading{Unknown: true, Permanent: true}},
		"a text that panics":     {worker.Permanent(textless{errors.New("x")}), verdict.Reading{Permanent: true}},
		"an error of itself":     {selfish{}, verdict.Reading{}},
		"a nil beside an error":  {fmt.Errorf("%w %w", nil, worker.Held(errors.New("x"))), verdict.Reading{Held: true}},
		"a nil verb of no error": {verdict.Nothing(), verdict.Reading{}},
	} {
		tc.want.SafeText = verdict.GenericText
		if got := verdict.Read(tc.err); got != tc.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tc.want)
		}
	}
}
