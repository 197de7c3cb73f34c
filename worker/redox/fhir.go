package redox

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// Media types of FHIR (FHIR R4, RESTful API).
var (
	fhirType  = []string{"application/fhir+json"}
	formType  = []string{"application/x-www-form-urlencoded"}
	patchType = []string{"application/json-patch+json"}
)

// fhirEnvironments are the environments as FHIR paths spell them; upper and lower case
// matter there (Redox, FHIR API).
var fhirEnvironments = map[string]string{
	envDevelopment: "Development", envStaging: "Staging", envProduction: "Production",
}

// fhir makes the request of a read, a search or a writeback to the FHIR API. The message's
// path begins with the destination's slug and the environment.
func (c *Client) fhir(ctx context.Context, out *call, m *outbox.Message) (err *Error) {
	if m.Path, err = c.targets.belowFHIR(m.Path); err != nil {
		if out.sender.NoSlugGuard {
			return err.unlike()
		}
		return err
	}
	if err := out.sender.guardFHIR(m); err != nil {
		return err
	}
	out.sourceID = out.sender.idHeader
	w, err := out.sender.readWriteback(out, m)
	if err != nil {
		return err
	}
	if err := c.routed(ctx, out, m, c.targets.fhir, fhirMedia(m)); err != nil {
		return err
	}
	edits, err := out.sender.identify(m, w)
	switch {
	case err != nil:
	case c.mayUpload(m):
		var files []edit
		files, err = c.offload(ctx, out, m, nil)
		edits = append(edits, files...)
	case c.cfg.Offload.Enabled && int64(len(m.Body)) > c.cfg.Offload.Over && strings.Contains(strings.ToLower(m.ContentType), "xml") && !out.sender.NoSlugGuard:
		c.leave(ctx, out, leftXML, 1)
	}
	if err != nil {
		return err
	}
	out.body = edited(m.Body, edits)
	if size := out.body.Size(); c.cfg.MaxBody >= 0 && size > c.cfg.MaxBody {
		return tooLarge("body", size, c.cfg.MaxBody)
	}
	return nil
}

// fhirMedia are the media types of a message that names none. A search is a form also where its
// parameters are in the URL, or where it has none: Redox takes that, and others insist on it. A
// patch is a list of changes, or Parameters of FHIR (FHIR R4, patch).
func fhirMedia(m *outbox.Message) media {
	usual := media{fhirType, fhirType}
	switch text := bytes.TrimLeft(m.Body, " \t\r\n"); {
	case isSearch(m):
		usual.content = formType
	case len(m.Body) == 0:
		usual.content = nil
	case methodOf(m) == http.MethodPatch && len(text) > 0 && text[0] == '[':
		usual.content = patchType
	}
	return usual
}

// guardFHIR holds a message of one environment back from another. The path is read as
// Redox will read it, so that no escape hides the environment.
func (s *sender) guardFHIR(m *outbox.Message) *Error {
	if err := contract.CheckPath(m.Path); err != nil {
		return nil // routed says so
	}
	if s.NoSlugGuard {
		return nil
	}
	want := fhirEnvironments[s.Environment]
	segments := strings.SplitN(resourcePath(m.Path), "/", 3)
	if len(segments) < 2 || segments[0] == "" || segments[1] == "" {
		return guarded("the path names no environment; it begins with the destination's slug and the environment, as in slug/" + want + "/Patient/1")
	}
	if got, err := url.PathUnescape(segments[1]); err != nil || got != want {
		return guarded("the environment behind the slug is not that of the source, " + want + " (upper and lower case matter)")
	}
	return nil
}

// resourcePath is the path without a first slash and without the query string.
func resourcePath(ref string) string {
	path, _, _ := strings.Cut(ref, "?")
	return strings.TrimPrefix(path, "/")
}

// isUUID reports whether s has the form 8-4-4-4-12 hex digits.
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && !jsonscan.IsHex(c) {
			return false
		}
	}
	return true
}
