package redox

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/httpwire"
)

// routed makes the request of a message that brings method and path to an API below base.
// The lane alone decides whether it is a SEND or a REQUEST: a write that is published as a
// REQUEST is repeated until its deadline, as a read is.
func (c *Client) routed(ctx context.Context, out *call, m *outbox.Message, base *url.URL, usual media) *Error {
	target, err := below(base, m.Path)
	if err != nil {
		return err
	}
	method, err := c.guardRouted(m)
	if err != nil {
		return err
	}
	out.method, out.url, out.body = method, target, httpwire.Pieces{m.Body}
	if m.Accept != "" && !wantsJSON(m.Accept) {
		out.accept = m.Accept
	}
	out.bare = out.accept != "" || method != http.MethodGet && !isSearch(m)
	out.header, err = c.header(ctx, m, out.sourceID, usual)
	return err
}

// guardRouted refuses what could not be sent or what Redox could not read. The method is
// that of the message, or its default.
func (c *Client) guardRouted(m *outbox.Message) (method string, broken *Error) {
	limit := c.cfg.MaxBody
	if c.mayUpload(m) {
		limit = c.maxMessage()
	}
	if size := int64(len(m.Body)); limit >= 0 && size > limit {
		return "", tooLarge("body", size, limit)
	}
	method = methodOf(m)
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	case http.MethodGet, http.MethodHead:
		if len(m.Body) > 0 {
			return "", poison("method " + method + " does not go with a body; POST a search to _search")
		}
	default:
		return "", poison("the method is not GET, HEAD, POST, PUT, PATCH or DELETE")
	}
	if isText(m) {
		return method, checkJSON(m.Body)
	}
	return method, nil
}

// below joins the path of a message, with its query string, to base. The path was checked
// when the message was read; a mistake here would send a token to another host, so it is
// checked once more, and so is what became of it. No error holds anything of the path.
func below(base *url.URL, ref string) (*url.URL, *Error) {
	if err := contract.CheckPath(ref); err != nil {
		return nil, poison("the path was refused: it must stay below its base, and a percent sign in it be written %25")
	}
	at := base.String()
	if ref = strings.TrimPrefix(ref, "/"); (ref == "" || ref[0] == '?') && base.Path != "/" {
		at = strings.TrimSuffix(at, "/") // the base itself (FHIR R4, RESTful API: [base] has no slash)
	}
	u, err := url.Parse(at + encoded(ref))
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || u.Fragment != "" ||
		!strings.HasPrefix(path.Clean(u.Path)+"/", base.Path) {
		return nil, poison("the path leaves its base")
	}
	return u, nil
}

// encoded is a path with its query string in which everything that no URI has is
// percent-encoded (RFC 3986, sections 2.1, 3.3 and 3.4): servers refuse a | in the query,
// and it is in the commonest search of FHIR. What is encoded already stays as it is.
func encoded(ref string) string {
	if strings.IndexFunc(ref, foreignToURI) < 0 {
		return ref
	}
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(ref) {
		if c := ref[i]; foreignToURI(rune(c)) {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// foreignToURI reports whether a character may stand neither in the path nor in the query
// of a URI. The percent sign may: it was checked before.
func foreignToURI(c rune) bool {
	return c <= ' ' || c >= 0x7f || strings.ContainsRune("\"<>[\\]^`{|}", c)
}

// wantsJSON reports whether all media types of an Accept header say JSON.
func wantsJSON(accept string) bool {
	for mediaType := range strings.SplitSeq(accept, ",") {
		if !isJSON(mediaType) {
			return false
		}
	}
	return true
}

// isHTML reports whether a media type says HTML.
func isHTML(mediaType string) bool {
	kind, _, _ := mime.ParseMediaType(mediaType)
	return kind == "text/html" || kind == "application/xhtml+xml"
}

// asksForHTML reports whether a message has asked for what may be HTML.
func asksForHTML(accept string) bool {
	accept = strings.ToLower(accept)
	return strings.Contains(accept, "html") || strings.Contains(accept, "*/*") || strings.Contains(accept, "text/*")
}

// isLines reports whether the first media type of a list is one of JSON texts, one a line. FHIR's
// Bulk Data Access has the first three.
func isLines(mediaTypes string) bool {
	first, _, _ := strings.Cut(mediaTypes, ",")
	kind, _, _ := mime.ParseMediaType(first)
	switch kind {
	case "application/fhir+ndjson", "application/ndjson", "ndjson", "application/x-ndjson", "application/jsonl":
		return true
	}
	return false
}

// platform makes the request of a message to the Platform API. It acts for a user, not for
// a source, so that no Redox-Source-Id goes with it.
func (c *Client) platform(ctx context.Context, out *call, m *outbox.Message) *Error {
	usual := jsonOnly
	if len(m.Body) == 0 {
		usual.content = nil
	}
	return c.routed(ctx, out, m, c.targets.platform, usual)
}
