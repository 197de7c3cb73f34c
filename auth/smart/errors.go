package smart

import (
	"net/http"
	"strconv"
	"time"
)

// Error says why a server's document is not used. Its texts are bounded and quote
// nothing of the document but hosts and names of algorithms.
type Error struct {
	// URL is that of the document.
	URL string
	// Status is the HTTP status, 0 when there was no answer.
	Status int
	// Err is what is wrong; nil where the status says it.
	Err error

	mend       string
	retryAfter time.Duration
}

// Error names the document, what is wrong and the mend, in one line.
func (e *Error) Error() string {
	text := "smart: " + e.URL
	if e.Status != 0 && e.Status != http.StatusOK {
		text += ": status " + strconv.Itoa(e.Status)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text + ": " + e.Mend()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Mend returns what a person can do.
func (e *Error) Mend() string {
	switch {
	case e.mend != "":
		return e.mend
	case e.Status == 0:
		return "check the FHIR base, and that its host can be reached from here"
	case e.Temporary():
		return "wait, the server is busy or failing"
	case e.Status >= 300 && e.Status < 400:
		return "give the FHIR base that it redirects to, for redirects are not followed"
	}
	return "check the FHIR base; where the server has no smart-configuration, give its token endpoint to auth.NewOAuth"
}

// Temporary reports whether the same request may well succeed soon.
func (e *Error) Temporary() bool {
	return e.Status == 0 || e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout || e.Status >= 500
}

// Heals reports whether it may end without a change here, as when the server's people
// mend their document.
func (e *Error) Heals() bool { return !e.Temporary() }

// RetryAfter returns what the server asked for, at most five minutes.
func (e *Error) RetryAfter() time.Duration { return e.retryAfter }

// Attempted returns false: nothing was sent to the API.
func (e *Error) Attempted() bool { return false }
