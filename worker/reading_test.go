package worker

import (
	"errors"
	"fmt"
	"testing"
	"time"
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
	if got, want := readError(wrapped), (reading{unsent: true, pauses: "key:x", retryAfter: time.Minute, safe: "safe"}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := readError(cause), (reading{safe: genericFailure}); got != want || !got.attempted() {
		t.Errorf("a plain error: %+v, want %+v", got, want)
	}
	both := RetryAfter(UnknownOutcome(WithSafeText(cause, "text")), time.Second)
	if got, want := readError(both), (reading{unknown: true, retryAfter: time.Second, safe: "text"}); got != want {
		t.Errorf("verbs together: %+v, want %+v", got, want)
	}
	if !errors.Is(both, cause) || Permanent(nil) != nil {
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

var _ Failure = silent{}

// disguised says what it is by As alone.
type disguised struct{ inner error }

func (disguised) Error() string        { return "disguised" }
func (d disguised) As(target any) bool { return errors.As(d.inner, target) }

// says is what the verbs say of an error, and what is said of it by methods.
var says = map[string]struct {
	mark func(error) error
	want reading
}{
	"nothing":       {func(err error) error { return err }, reading{}},
	"permanent":     {Permanent, reading{permanent: true}},
	"poison":        {Poison, reading{poison: true}},
	"held":          {Held, reading{held: true}},
	"unknown":       {UnknownOutcome, reading{unknown: true}},
	"doubtful":      {func(err error) error { return doubtfulError{err} }, reading{doubtful: true}},
	"not attempted": {func(err error) error { return NotAttempted(err, "key:main") }, reading{unsent: true, pauses: "key:main"}},
	"not attempted, pausing nothing": {
		func(err error) error { return NotAttempted(err, "") }, reading{unsent: true}},
	"retry after": {func(err error) error { return RetryAfter(err, time.Hour) }, reading{retryAfter: time.Hour}},
	"safe text":   {func(err error) error { return WithSafeText(err, "inner") }, reading{safe: "inner"}},
}

// wrappers are the ways to pass an error on, and what each of them adds.
var wrappers = map[string]struct {
	wrap func(error) error
	adds reading
}{
	"as it is":       {func(err error) error { return err }, reading{}},
	"%w":             {func(err error) error { return fmt.Errorf("x: %w", err) }, reading{}},
	"%w first":       {func(err error) error { return fmt.Errorf("%w and %w", err, errors.New("other")) }, reading{}},
	"%w second":      {func(err error) error { return fmt.Errorf("%w and %w", errors.New("other"), err) }, reading{}},
	"joined first":   {func(err error) error { return errors.Join(err, errors.New("other")) }, reading{}},
	"joined last":    {func(err error) error { return errors.Join(errors.New("other"), errors.New("other"), err) }, reading{}},
	"own type":       {func(err error) error { return silent{err} }, reading{}},
	"As":             {func(err error) error { return disguised{err} }, reading{}},
	"WithSafeText":   {func(err error) error { return WithSafeText(err, "outer") }, reading{safe: "outer"}},
	"no safe text":   {func(err error) error { return WithSafeText(err, "") }, reading{}},
	"RetryAfter":     {func(err error) error { return RetryAfter(err, time.Minute) }, reading{retryAfter: time.Minute}},
	"RetryAfter −1":  {func(err error) error { return RetryAfter(err, -1) }, reading{}},
	"Permanent":      {Permanent, reading{permanent: true}},
	"Poison":         {Poison, reading{poison: true}},
	"Held":           {Held, reading{held: true}},
	"UnknownOutcome": {UnknownOutcome, reading{unknown: true}},
	"NotAttempted":   {func(err error) error { return NotAttempted(err, "") }, reading{unsent: true}},
	"several": {func(err error) error {
		return RetryAfter(fmt.Errorf("x: %w", errors.Join(errors.New("y"), WithSafeText(fmt.Errorf("z: %w", err), "outer"))), time.Second)
	}, reading{safe: "outer", retryAfter: time.Second}},
}

// Whatever an error is wrapped in, it says what it said, and what the wrapper adds.
func TestReadError_AVerbAddsToWhatTheChainSays(t *testing.T) {
	t.Parallel()
	for said, s := range says {
		for wrapped, w := range wrappers {
			want := w.adds
			want.wrap(s.want)
			if want.safe == "" {
				want.safe = genericFailure
			}
			want.unsent = !want.attempted()
			err := w.wrap(s.mark(errors.New("cause")))
			if got := readError(err); got != want {
				t.Errorf("%s, %s:\n got %+v\nwant %+v", said, wrapped, got, want)
			}
			f, ok := err.(Failure) // what others see of it who ask for the methods
			if ok && w.adds != (reading{}) && (f.Permanent() != want.permanent || f.Poison() != want.poison || f.Held() != want.held ||
				f.Attempted() != want.attempted() || f.UnknownOutcome() != want.unknown || f.DoubtfulOutcome() != want.doubtful ||
				f.RetryAfter() != want.retryAfter || f.Pauses() != want.pauses) {
				t.Errorf("%s, %s: its methods differ from %+v", said, wrapped, want)
			}
		}
	}
}

func TestReadError_Precedence(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	text := WithSafeText
	for name, tc := range map[string]struct {
		err  error
		want reading
	}{
		"the longest wait, outside": {RetryAfter(RetryAfter(cause, time.Second), time.Minute), reading{retryAfter: time.Minute}},
		"the longest wait, inside":  {RetryAfter(RetryAfter(cause, time.Minute), time.Second), reading{retryAfter: time.Minute}},
		"the longest wait, joined":  {errors.Join(RetryAfter(cause, time.Second), RetryAfter(cause, time.Minute)), reading{retryAfter: time.Minute}},
		"the outermost scope":       {NotAttempted(NotAttempted(cause, "key:a"), "key:b"), reading{unsent: true, pauses: "key:b"}},
		"the first scope, joined":   {errors.Join(cause, NotAttempted(cause, "key:a"), NotAttempted(cause, "key:b")), reading{unsent: true, pauses: "key:a"}},
		"the outermost text":        {text(fmt.Errorf("x: %w", text(cause, "inner")), "outer"), reading{safe: "outer"}},
		"the deciding text": {errors.Join(text(cause, "temporary"), Permanent(text(cause, "permanent")), NotAttempted(text(cause, "unsent"), "")),
			reading{permanent: true, unsent: true, safe: "permanent"}},
		"the only text": {errors.Join(text(cause, "temporary"), Permanent(cause)), reading{permanent: true, safe: "temporary"}},
		"what the other branch says": {fmt.Errorf("%w; %w", UnknownOutcome(cause), errors.Join(Held(cause), Permanent(cause))),
			reading{unknown: true, held: true, permanent: true}},
	} {
		if tc.want.safe == "" {
			tc.want.safe = genericFailure
		}
		if got := readError(tc.err); got != tc.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tc.want)
		}
	}
	for name, err := range map[string]error{
		"unknown inside":  NotAttempted(UnknownOutcome(cause), "key:a"),
		"unknown outside": UnknownOutcome(NotAttempted(cause, "key:a")),
		"unknown beside":  errors.Join(NotAttempted(cause, "key:a"), UnknownOutcome(cause)),
		"doubtful inside": NotAttempted(doubtfulError{cause}, ""),
	} {
		if !readError(err).attempted() {
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
		want reading
	}{
		"a typed nil":            {nothing, reading{unknown: true}},
		"a wrapped typed nil":    {RetryAfter(fmt.Errorf("x: %w", error(nothing)), time.Second), reading{unknown: true, retryAfter: time.Second}},
		"a typed nil beside":     {errors.Join(Permanent(errors.New("x")), nothing), reading{unknown: true, permanent: true}},
		"a text that panics":     {Permanent(textless{errors.New("x")}), reading{permanent: true}},
		"an error of itself":     {selfish{}, reading{}},
		"a nil beside an error":  {fmt.Errorf("%w %w", nil, Held(errors.New("x"))), reading{held: true}},
		"a nil verb of no error": {&failure{}, reading{}},
	} {
		tc.want.safe = genericFailure
		if got := readError(tc.err); got != tc.want {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, tc.want)
		}
	}
}
