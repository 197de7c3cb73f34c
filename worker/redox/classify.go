package redox

import (
	"errors"
	"net/http"

	"github.com/redoxworker/redoxworker/worker/redox/internal/answer"
)

// classify decides what an answer means: the classification table of the contract, in the
// order of its rows. The reply holds what Redox said in either case.
func (c *Client) classify(out *call) *Error {
	r := &out.reply
	f := r.find()
	r.LogIDs = f.LogIDs
	if r.Status >= 200 && r.Status <= 299 {
		return out.classifySuccess(&f)
	}
	e := r.failure(&f)
	switch {
	case r.Status == http.StatusBadRequest && out.request && r.cut != nil:
		// What it means is in its body.
		return r.cutOff(&f)
	case r.Status == http.StatusBadRequest && out.request && f.Transmission:
		// Until 2020 a failed destination of a query was a 400 (Redox, recorded traffic).
		r.Flag = flagText("the destination failed", e.remote)
		return nil
	case r.Status == http.StatusUnauthorized:
		e.class, e.pauses = ClassUnauthorized, c.keyScope(out.sender)
		e.detail = "redox refused a new token of key " + out.sender.Key + " as well"
	case r.Status == http.StatusTooManyRequests:
		e.class, e.pauses, e.retryAfter = ClassThrottled, c.groupScope(), r.retryAfter
		e.detail = "too many requests from this egress group"
	case r.Status == http.StatusGatewayTimeout:
		e.class, e.retryAfter, e.unknown = ClassNoAnswer, r.retryAfter, out.decides()
		e.detail = "redox gave up waiting"
		if e.unknown {
			e.detail += "; the outcome is unknown"
		}
	case r.Status == http.StatusRequestTimeout, r.Status >= 500:
		e.class, e.retryAfter = ClassUnavailable, r.retryAfter
		e.doubtful = out.decides() && doubtful(r.Status)
		e.detail = "redox could not take it now"
	default:
		e.class, e.detail = ClassRefused, "redox refused it"
		if r.Status >= 300 && r.Status <= 399 {
			e.detail = "redox answered with a redirect, which is not followed"
		}
	}
	return e
}

// decides reports whether it matters if Redox took a request whose answer did not come: a
// REQUEST is safe to repeat, and so is what is harmless.
func (out *call) decides() bool { return !out.request && !out.harmless }

// doubtful reports whether a status leaves open if a SEND was taken. 408 says that the
// request did not arrive whole; 502 and 503, that it did not reach the application.
func doubtful(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable:
		return false
	}
	return true
}

// failure is the error of an answer, without its class.
func (r *reply) failure(f *answer.Findings) *Error {
	return &Error{status: r.Status, remote: f.RemoteText(), traceID: r.traceID, written: true}
}

// classifySuccess looks behind a 2xx: it may carry errors (Redox, Request).
func (out *call) classifySuccess(f *answer.Findings) *Error {
	r := &out.reply
	switch {
	case f.Failed && !out.request:
		e := r.failure(f)
		e.class, e.detail = ClassRefused, "redox answered with errors"
		return e
	case r.cut != nil && out.request:
		return r.cutOff(f)
	case f.Failed:
		r.Flag = flagText("answered with errors", f.RemoteText())
	case r.flaw != "":
		r.Flag = r.flaw
	case r.size == 0 && out.bare:
	case r.size == 0:
		r.Flag = "the answer has no body"
	case f.Broken && out.accept != "" && !isPage(r.ContentType, out.accept):
	case f.Broken && out.accept != "":
		r.Flag = "the answer is a page of HTML"
	case f.Broken:
		r.Flag = "the answer is not JSON"
	case out.names && fileURI(r.Body) == "":
		r.Flag = "the answer names no URI"
	}
	return nil
}

// cutOff is the error of a REQUEST whose answer was not read to its end, because the attempt was
// cancelled. The answer is the point of a query, and asking again is safe.
func (r *reply) cutOff(f *answer.Findings) *Error {
	e := r.failure(f)
	e.class, e.detail, e.cause = ClassNoAnswer, "the attempt was cancelled while the answer was read", r.cut
	if errors.Is(r.cut, errCrowded) {
		e.detail, e.cause = "memory for its answer was in use by others all the time: raise bodies.memory", nil
	}
	return e
}

func flagText(text, remote string) string {
	if remote == "" {
		return text
	}
	return text + " (" + remote + ")"
}
