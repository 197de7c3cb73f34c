package redox

import (
	"context"
	"errors"
	"net/http"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker/redox/internal/answer"
)

// classify decides what an answer means: the classification table of the contract, in the
// order of its rows. The reply holds what Redox said in either case.
func (c *Client) classify(ctx context.Context, out *call) *Error {
	r := &out.reply
	f := r.find()
	if out.lines() {
		f = answer.Findings{Markup: f.Markup, HTML: f.HTML}
	}
	r.LogIDs = f.LogIDs
	var e *Error
	if r.Status >= 200 && r.Status <= 299 {
		e = c.classifySuccess(out, &f)
	} else {
		e = c.classifyFailure(out, &f)
	}
	if e != nil && e.class == ClassForeign {
		c.foreign(ctx, out, e)
	}
	return e
}

// conditional reports whether a REQUEST asks for an answer only if something has changed (RFC
// 9110, 13.1.2 and 13.1.3): 304 then says that nothing has.
func (out *call) conditional() bool {
	return out.request && (out.header.Get("If-None-Match") != "" || out.header.Get("If-Modified-Since") != "")
}

// foreign tells of an answer that somebody else than Redox has given.
func (c *Client) foreign(ctx context.Context, out *call, e *Error) {
	c.metrics.foreign.Inc()
	c.log.WarnContext(ctx, "somebody else than Redox has answered: check redox.base_url and what is on the way; if this is how the far side answers, set redox.strict_answers to off",
		"source", out.sender.name, "message_id", out.message, "status", e.status, "answer", e.detail)
}

// classifyFailure reads an answer that is no 2xx.
func (c *Client) classifyFailure(out *call, f *answer.Findings) *Error {
	r := &out.reply
	e := r.failure(f)
	switch status := r.Status; {
	case status == http.StatusNotModified && out.conditional():
		return nil // the answer that was asked for
	case status == http.StatusBadRequest && out.request && r.cut != nil:
		// What it means is in its body.
		return r.cutOff(f)
	case status == http.StatusBadRequest && out.request && f.Transmission:
		// Until 2020 a failed destination of a query was a 400 (Redox, recorded traffic).
		r.Flag = flagText("the destination failed", e.remote)
		return nil
	case status == http.StatusUnauthorized:
		e.class, e.pauses = ClassUnauthorized, c.keyScope(out.sender)
		e.detail = "redox refused a new token of key " + out.sender.Key + " as well"
	case status == http.StatusTooManyRequests:
		e.class, e.pauses, e.retryAfter = ClassThrottled, c.groupScope(), r.retryAfter
		e.detail = "too many requests from this egress group"
	case passedOn(status):
		e.class, e.retryAfter, e.unknown = ClassNoAnswer, r.retryAfter, out.decides()
		e.detail = "no answer came from behind the gateway"
		if status == http.StatusGatewayTimeout {
			e.detail = "redox gave up waiting"
		}
		if e.unknown {
			e.detail += "; the outcome is unknown"
		}
	case c.cfg.StrictAnswers != StrictOff && mayBeAPage(status) && out.page(f):
		e.class, e.retryAfter, e.trouble = ClassForeign, r.retryAfter, true
		e.detail = "redox cannot have sent this answer: it is a page of HTML"
	case passes(status) || status >= 400 && status < 500 && f.Transient:
		e.class, e.retryAfter = ClassUnavailable, r.retryAfter
		e.doubtful = status >= 500 && out.decides() && doubtful(status)
		e.trouble = status == http.StatusMisdirectedRequest
		e.detail = "redox could not take it now"
	default:
		e.class, e.detail = ClassRefused, "redox refused it"
		if status >= 300 && status <= 399 {
			e.detail = "redox answered with a redirect, which is not followed"
		}
	}
	return e
}

// Statuses that no RFC has: Cloudflare's, of which each says what it met behind it, and those of
// proxies that time out.
const (
	statusUnknownError   = 520
	statusWebServerDown  = 521
	statusConnectTimeout = 522
	statusUnreachable    = 523
	statusTimeout        = 524
	statusHandshake      = 525
	statusCertificate    = 526
	statusOriginDNS      = 530
	statusReadTimeout    = 598
	statusNetworkTimeout = 599
)

// passedOn reports whether a status says that the request was passed on and that no answer came.
func passedOn(status int) bool {
	switch status {
	case http.StatusGatewayTimeout, statusUnknownError, statusTimeout, statusReadTimeout, statusNetworkTimeout:
		return true
	}
	return false
}

// passes reports whether what a status says may pass by itself. 501 and 505 say that the far side
// does not know how to do what it is asked.
func passes(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly:
		return true
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return false
	}
	return status >= 500
}

// doubtful reports whether a 5xx leaves open if a SEND was taken. The others say that it did not
// reach the application, or not even the far side.
func doubtful(status int) bool {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusNetworkAuthenticationRequired,
		statusWebServerDown, statusConnectTimeout, statusUnreachable, statusHandshake, statusCertificate, statusOriginDNS:
		return false
	}
	return true
}

// mayBeAPage reports whether a gateway in front answers with this status and a page of its own
// whatever was asked: a firewall that blocks, a sign-in, a path that it does not know. 407 is a
// proxy's own.
func mayBeAPage(status int) bool {
	switch status {
	case http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return true
	}
	return status >= 300 && status <= 399
}

// decides reports whether it matters if Redox took a request whose answer did not come: a
// REQUEST is safe to repeat, and so is what is harmless.
func (out *call) decides() bool { return !out.request && !out.harmless }

// failure is the error of an answer, without its class.
func (r *reply) failure(f *answer.Findings) *Error {
	return &Error{status: r.Status, remote: f.RemoteText(), traceID: r.traceID, written: true}
}

// page reports whether the answer is a page of HTML that nobody has asked for. Redox itself labels
// plain text as HTML.
func (out *call) page(f *answer.Findings) bool {
	return (f.HTML || f.Markup && isHTML(out.reply.ContentType)) && !asksForHTML(out.accept)
}

// strange says why Redox cannot have given a 2xx; "" where it can. Of an answer that ended early
// nobody knows.
func (c *Client) strange(out *call, f *answer.Findings) string {
	switch {
	case c.cfg.StrictAnswers == StrictOff:
		return ""
	case out.page(f):
		return "it is a page of HTML"
	case out.kind != outbox.KindDataModel || f.Meta || out.reply.flaw != "" || !c.cfg.strictMeta():
		return ""
	case out.reply.size == 0:
		return "it has no body"
	case f.Broken:
		return "it is not JSON"
	}
	return "it has no Meta"
}

// classifySuccess looks behind a 2xx: it may carry errors (Redox, Request), or be of somebody else.
func (c *Client) classifySuccess(out *call, f *answer.Findings) *Error {
	r := &out.reply
	strange := c.strange(out, f)
	switch {
	case f.Failed && !out.request:
		e := r.failure(f)
		e.class, e.detail = ClassRefused, "redox answered with errors"
		return e
	case r.cut != nil && out.request:
		return r.cutOff(f)
	case f.Failed:
		r.Flag = flagText("answered with errors", f.RemoteText())
	case strange != "":
		e := r.failure(f)
		e.class, e.trouble, e.unknown, e.detail = ClassForeign, true, out.decides(), "redox cannot have sent this answer: "+strange
		if e.unknown {
			e.detail += "; the outcome is unknown"
		}
		return e
	default:
		r.Flag = out.flaw(f)
	}
	return nil
}

// flaw says what is wrong with an answer that is taken as it is; "" for nothing.
func (out *call) flaw(f *answer.Findings) string {
	r := &out.reply
	switch {
	case r.flaw != "":
		return r.flaw
	case r.size == 0 && out.mayBeEmpty():
	case r.size == 0:
		return "the answer has no body"
	case out.page(f), f.Broken && out.accept != "" && isHTML(r.ContentType) && !asksForHTML(out.accept):
		return "the answer is a page of HTML"
	case f.Broken && out.accept == "":
		return "the answer is not JSON"
	case out.names && fileURI(r.Body) == "":
		return "the answer names no URI"
	}
	return ""
}

// mayBeEmpty reports whether an answer without a body is a whole answer: one to what is not a read
// or a search, and any status that promises no content: 202 tells by its Content-Location where an
// export can be asked about.
func (out *call) mayBeEmpty() bool {
	return out.bare || out.routed() && out.reply.Status != http.StatusOK
}

// routed reports whether the message brings method and path.
func (out *call) routed() bool {
	return out.kind == outbox.KindFHIR || out.kind == outbox.KindPlatform
}

// lines reports whether a 2xx to a REQUEST is data, one JSON text a line: a file of a bulk export, in
// which an OperationOutcome is content and says nothing about the message. An answer that is
// labelled as JSON although lines were asked for is read as any other.
func (out *call) lines() bool {
	r := &out.reply
	return out.request && out.routed() && r.Status >= 200 && r.Status <= 299 && (isLines(r.ContentType) || isLines(out.accept) && !isJSON(r.ContentType))
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
