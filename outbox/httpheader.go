package outbox

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// Limits of the HTTP headers of a message, and of one of an answer, in bytes.
const (
	maxHTTPHeaders = 32
	maxHTTPName    = 64
	maxHTTPBytes   = 8192 // all names and values together
)

// neverSet are the HTTP headers, beside those that begin with one of neverBegin, that no message
// may set: the worker decides who the sender is, where the request goes and how it is framed, and
// what a header of the contract says is said once. Some look harmless and are trusted by gateways
// and frameworks: IIS and Symfony take X-Original-Url for the path.
var neverSet = map[string]string{
	"Authorization": "", "Host": "", "Content-Length": "", "Cookie": "", "Cookie2": "", "Set-Cookie": "", "User-Agent": "", "Date": "", "Via": "",
	"Accept-Encoding": "", "Content-Encoding": "", "Expect": "", "Range": "", "If-Range": "",
	"Connection": "", "Keep-Alive": "", "Te": "", "Trailer": "", "Transfer-Encoding": "", "Upgrade": "", "Http2-Settings": "",
	"X-Http-Method-Override": "", "X-Http-Method": "", "X-Method-Override": "", "X-Original-Method": "",
	"X-Original-Url": "", "X-Rewrite-Url": "", "X-Original-Host": "", "X-Host": "", "Forwarded": "", "X-Real-Ip": "",
	"Content-Type": contract.HeaderContentType, "Accept": contract.HeaderAccept, "Traceparent": contract.HeaderTraceParent, "Tracestate": contract.HeaderTraceState,
}

// neverBegin are prefixes of more such headers.
var neverBegin = [...]string{"Proxy-", "Redox-", "Sec-", "X-Forwarded-"}

// HeaderPolicy decides which HTTP headers a message may set. The zero policy allows the
// headers that FHIR and Redox's Carequality queries need.
type HeaderPolicy struct {
	// Allow are names, without regard to case, in which * stands for any number of letters. nil
	// means Prefer, If-*, X-Sender-Organization-Id and X-User-Id; an empty slice none.
	Allow []string
}

var defaultHeaders = []string{"Prefer", "If-*", "X-Sender-Organization-Id", "X-User-Id"}

// Validate reports every name that is malformed or that no message may set.
func (p HeaderPolicy) Validate() error {
	var errs []error
	for _, name := range p.Allow {
		plain := strings.ReplaceAll(name, "*", "")
		switch {
		case name == "" || len(name) > maxHTTPName || plain != "" && !isHTTPName(plain):
			errs = append(errs, fmt.Errorf("outbox: header %q: use 1 to %d letters, digits, - and *", wire.Clip(name), maxHTTPName))
		case plain == name && reserveFault(http.CanonicalHeaderKey(name)) != "", neverBegins(http.CanonicalHeaderKey(name)):
			errs = append(errs, fmt.Errorf("outbox: header %s: no message may set it: remove it", name))
		}
	}
	return errors.Join(errs...)
}

// Check reports, with a *ContractError that quotes no value, a header that no message may set,
// that is malformed, or that the policy does not allow. Safe for concurrent use.
func (p HeaderPolicy) Check(h http.Header) error {
	if len(h) == 0 {
		return nil
	}
	if err := checkHTTPHeaders(h); err != nil {
		return err
	}
	allow := p.Allow
	if allow == nil {
		allow = defaultHeaders
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if !slices.ContainsFunc(allow, func(pattern string) bool {
			ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(name))
			return ok && err == nil
		}) {
			return headerFault(name, "is not among the headers that a message may set (redox.headers)")
		}
	}
	return nil
}

// checkHTTPHeaders applies the rules that hold for every message.
func checkHTTPHeaders(h http.Header) error {
	if len(h) > maxHTTPHeaders {
		return &ContractError{Part: contract.RequestHeaderPrefix + "…", Reason: fmt.Sprintf("is there more than %d times", maxHTTPHeaders)}
	}
	size, seen := 0, ""
	for _, name := range slices.SortedFunc(maps.Keys(h), func(a, b string) int {
		return strings.Compare(http.CanonicalHeaderKey(a), http.CanonicalHeaderKey(b))
	}) {
		values, key := h[name], http.CanonicalHeaderKey(name)
		switch {
		case len(values) == 0:
			continue
		case !isHTTPName(name):
			return headerFault(name, fmt.Sprintf("is no name of 1 to %d letters, digits and -", maxHTTPName))
		case key == seen, len(values) > 1:
			return headerFault(name, "is given more than once")
		case reserveFault(key) != "":
			return headerFault(name, reserveFault(key))
		case wire.ValueFault(values[0]) != "":
			return headerFault(name, wire.ValueFault(values[0]))
		}
		seen = key
		size += len(name) + len(values[0])
	}
	if size > maxHTTPBytes {
		return &ContractError{Part: contract.RequestHeaderPrefix + "…", Reason: fmt.Sprintf("are longer than %d bytes together", maxHTTPBytes)}
	}
	return nil
}

// reserveFault says why no message may set a header; "" when some may.
func reserveFault(key string) string {
	own, never := neverSet[key]
	switch {
	case own != "":
		return "has a header of its own: use " + own
	case never, neverBegins(key):
		return "is never set by a message"
	}
	return ""
}

// neverBegins reports whether a name, or a pattern, begins with one of neverBegin.
func neverBegins(key string) bool {
	return slices.ContainsFunc(neverBegin[:], func(start string) bool { return strings.HasPrefix(key, start) })
}

func isHTTPName(name string) bool {
	if name == "" || len(name) > maxHTTPName {
		return false
	}
	for i := range len(name) {
		c := name[i] | 0x20
		if (c < 'a' || c > 'z') && (name[i] < '0' || name[i] > '9') && name[i] != '-' {
			return false
		}
	}
	return true
}

// headerFault names a header whose name is made of letters: in all others there could be
// anything.
func headerFault(name, reason string) error {
	part := contract.RequestHeaderPrefix + "…"
	if name != "" && isPlainName(name) {
		part = contract.RequestHeaderPrefix + name
	}
	return &ContractError{Part: part, Reason: reason}
}

// isRequestHeader reports whether a NATS header is one that names an HTTP header.
func isRequestHeader(name string) bool {
	return len(name) > len(contract.RequestHeaderPrefix) && name[:len(contract.RequestHeaderPrefix)] == contract.RequestHeaderPrefix
}

// httpHeaders reads the HTTP headers of a message, by canonical names; nil when there are none.
func (d *decoder) httpHeaders() (found http.Header) {
	for name, values := range d.h {
		if !isRequestHeader(name) || len(values) == 0 {
			continue
		}
		if found == nil {
			found = make(http.Header)
		}
		key := http.CanonicalHeaderKey(name[len(contract.RequestHeaderPrefix):])
		found[key] = append(found[key], values...)
	}
	if found != nil {
		d.fail(checkHTTPHeaders(found))
	}
	return found
}

// setHTTPHeaders writes those of a message, which were checked.
func setHTTPHeaders(h nats.Header, from http.Header) {
	for name, values := range from {
		if len(values) > 0 {
			h[contract.RequestHeaderPrefix+http.CanonicalHeaderKey(name)] = values[:1:1]
		}
	}
}

var answerHeaders = contract.AnswerHeaders()

// decodeAnswerHeader reads those of a reply; nil when there are none.
func decodeAnswerHeader(h nats.Header) (found http.Header) {
	for _, name := range answerHeaders {
		if v := wire.First(h, contract.AnswerHeaderPrefix+name); v != "" {
			if found == nil {
				found = make(http.Header, len(answerHeaders))
			}
			found.Set(name, v)
		}
	}
	return found
}
