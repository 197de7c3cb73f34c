package redoxsim

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Action is what a fault does to the connection or to the body of the answer.
type Action string

// The actions. Without one, the answer is sent as usual.
const (
	// ResetEarly cuts the connection without reading the body. Only a [Rule] that asks nothing of the body can do it
	// that early; from a hook or a script it acts like Reset.
	ResetEarly Action = "reset-early"
	// Reset cuts the connection after reading the request, with a TCP RST where there is TCP.
	Reset Action = "reset"
	// Hang reads the request and never answers: until the client goes away or [Server.Release].
	Hang Action = "hang"
	// Truncate announces the whole answer, sends half of it and closes.
	Truncate Action = "truncate"
	// Huge pads the answer with spaces to Fault.Size bytes.
	Huge Action = "huge"
	// SlowBody sends the answer in ten pieces over Fault.Over.
	SlowBody Action = "slow-body"
	// Errors adds Meta.Errors[] to an accepted answer of status 200, or, with Status 400, answers as Redox did in 2020
	// when a destination failed.
	Errors Action = "errors"
	// Redirect answers with Status (default 307) and Fault.Location.
	Redirect Action = "redirect"
	// Page answers with Status (default 200) and a page of HTML, as somebody on the way does: a sign-in, a firewall.
	Page Action = "page"
	// Issues answers with Status (default 200) and issues in Redox's own words (Redox, Responding to queries).
	Issues Action = "issues"
	// Outcome answers with Status (default 200) and an OperationOutcome with an error of Fault.Code.
	Outcome Action = "outcome"
	// Response answers with Status (default 200) and a message Bundle whose MessageHeader.response has Fault.Code.
	Response Action = "response"
)

// Fault says how one request goes wrong. The zero value changes nothing. It is read only, and may be shared.
type Fault struct {
	// Status replaces the answer: the message is not taken. 0 keeps the real answer.
	Status int
	// Body and Header replace and extend what the simulator would send with Status.
	Body   string
	Header http.Header
	// RetryAfter is the Retry-After header, verbatim. Redox documents none.
	RetryAfter string
	// Delay comes before everything else but reading the request.
	Delay time.Duration
	// Action is what happens to the connection or the body.
	Action Action
	// Size is the length of a Huge answer in bytes. Default 64,000,000.
	Size int64
	// Over is the time that a SlowBody takes. Default 10s.
	Over time.Duration
	// Location is the target of a Redirect. Default: the same URL.
	Location string
	// Code is that of an Outcome, default "processing", or a Response, default "fatal-error".
	Code string
	// Accept makes Redox take the message before the fault strikes: an answer that was lost, not a message.
	Accept bool
}

// ParseFault reads the text form of a fault: words separated by spaces, in any order.
//
//	ok                    no fault
//	503                   a status
//	delay=2s              answer late
//	retry-after=3         with a Retry-After header
//	reset reset-early hang truncate errors
//	huge or huge=64MB     bytes, or with KB or MB (decimal)
//	slow-body or slow-body=5s
//	redirect or redirect=https://example.com/
//	page                  a page of HTML, as of a sign-in; 200 unless a status says else
//	issues                FHIR errors as Redox words them, in a 200 unless a status says else
//	outcome or outcome=lock-error
//	response or response=transient-error
//	accept                the message is taken all the same
//
// "accept reset" is an answer that got lost. Body and Header have no text form.
func ParseFault(text string) (Fault, error) {
	var f Fault
	for _, word := range strings.Fields(text) {
		name, value, _ := strings.Cut(word, "=")
		if err := f.set(name, value); err != nil {
			return Fault{}, fmt.Errorf("redoxsim: fault %q: %w", word, err)
		}
	}
	return f, nil
}

func (f *Fault) set(name, value string) (err error) {
	switch name {
	case "ok":
	case "accept":
		f.Accept = true
	case "delay":
		f.Delay, err = parseDelay(value)
	case "retry-after":
		f.RetryAfter = value
	case string(Huge):
		f.Action = Huge
		if value != "" {
			f.Size, err = parseSize(value)
		}
	case string(SlowBody):
		f.Action = SlowBody
		if value != "" {
			f.Over, err = parseDelay(value)
		}
	case string(Redirect):
		f.Action, f.Location = Redirect, value
	case string(Outcome), string(Response):
		f.Action, f.Code = Action(name), value
	case string(ResetEarly), string(Reset), string(Hang), string(Truncate), string(Errors), string(Page), string(Issues):
		f.Action = Action(name)
	default:
		f.Status, err = strconv.Atoi(name)
		if err != nil || f.Status < 200 || f.Status > 599 {
			return fmt.Errorf("not a status from 200 to 599, nor a known word")
		}
	}
	return err
}

func parseDelay(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err == nil && d < 0 {
		return 0, fmt.Errorf("negative duration")
	}
	return d, err
}

func parseSize(text string) (int64, error) {
	unit := int64(1)
	if rest, ok := strings.CutSuffix(text, "KB"); ok {
		text, unit = rest, 1000
	} else if rest, ok := strings.CutSuffix(text, "MB"); ok {
		text, unit = rest, 1_000_000
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<40/unit {
		return 0, fmt.Errorf("not a size such as 500, 20KB or 64MB")
	}
	return n * unit, nil
}

// String returns the text form that [ParseFault] reads; "ok" for no fault.
func (f Fault) String() string {
	var words []string
	add := func(on bool, word string) {
		if on {
			words = append(words, word)
		}
	}
	add(f.Accept, "accept")
	add(f.Status != 0, strconv.Itoa(f.Status))
	add(f.Delay != 0, "delay="+f.Delay.String())
	add(f.RetryAfter != "", "retry-after="+f.RetryAfter)
	word := string(f.Action)
	switch {
	case f.Action == Huge && f.Size != 0:
		word += "=" + strconv.FormatInt(f.Size, 10)
	case f.Action == SlowBody && f.Over != 0:
		word += "=" + f.Over.String()
	case f.Action == Redirect && f.Location != "":
		word += "=" + f.Location
	case (f.Action == Outcome || f.Action == Response) && f.Code != "":
		word += "=" + f.Code
	}
	add(word != "", word)
	if len(words) == 0 {
		return "ok"
	}
	return strings.Join(words, " ")
}

// MarshalText implements [encoding.TextMarshaler] with [Fault.String].
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler] with [ParseFault].
func (f *Fault) UnmarshalText(text []byte) (err error) {
	*f, err = ParseFault(string(text))
	return err
}

// replaces says that the real answer is not worked out: the message is not taken.
func (f *Fault) replaces() bool {
	if f == nil || f.Accept {
		return false
	}
	switch f.Action {
	case Reset, ResetEarly, Hang, Redirect:
		return true
	}
	return f.Status != 0 || f.words()
}

// words says that the action is about the body: another one is answered.
func (f *Fault) words() bool {
	switch f.Action {
	case Page, Issues, Outcome, Response:
		return true
	}
	return false
}

// nthOf picks the fault of attempt n, from 1, out of a script like "503, ok"; nil beyond its end.
func nthOf(script string, n int) (*Fault, error) {
	parts := strings.Split(script, ",")
	if n < 1 || n > len(parts) || script == "" {
		return nil, nil
	}
	f, err := ParseFault(parts[n-1])
	if err != nil {
		return nil, err
	}
	return &f, nil
}
