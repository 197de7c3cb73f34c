package redox

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// Paths of the APIs below their host (Redox, FHIR API, Files, Platform API).
const (
	defaultFHIR  = "/fhir/R4/"
	uploadPath   = "/upload"
	platformPath = "/platform/"
)

// targets are the URLs that messages go to, joined once, so that no data-model message
// parses a URL, and the pause scopes of their hosts. They are never changed.
type targets struct {
	endpoint, upload, fhir, platform *url.URL
	apiScope, blobScope              string
	apiAlone, blobAlone              []string // what most deliveries asked; shared by all of them
}

func newTargets(c Config) (targets, error) {
	var t targets
	var errs [4]error
	t.endpoint, errs[0] = join("BaseURL", c.BaseURL, "EndpointPath", c.EndpointPath)
	if errs[0] == nil {
		t.fhir, errs[1] = join("BaseURL", c.BaseURL, "FHIRPath", strings.TrimSuffix(c.FHIRPath, "/")+"/")
		t.platform, errs[2] = join("BaseURL", c.BaseURL, "", platformPath)
	}
	t.upload, errs[3] = join("BlobURL", c.BlobURL, "", uploadPath)
	if err := errors.Join(errs[:]...); err != nil {
		return targets{}, err
	}
	t.apiScope, t.blobScope = hostScope(t.endpoint), hostScope(t.upload)
	t.apiAlone, t.blobAlone = []string{t.apiScope}, []string{t.blobScope}
	return t, nil
}

func hostScope(target *url.URL) string { return "host:" + target.Host }

// HostScope is the pause scope of the host that decides whether m can be sent now: that of
// the file store for kind file, and with [Offload] for a data-model or FHIR message that may hold a
// file to upload first, which is any JSON larger than Offload.Over or in the object store; that
// of the API for all others. [Error.Pauses] names it when the host cannot be reached. It
// reads a body only if it is so large, and then to see whether there may be files in it.
func (c *Client) HostScope(m outbox.Message) string {
	switch {
	case m.Kind == outbox.KindFile:
		return c.targets.blobScope
	case !c.mayUpload(&m) || c.targets.blobScope == c.targets.apiScope || m.BodyObject == "" && !mayEmbed(&m):
		return c.targets.apiScope
	}
	return c.targets.blobScope
}

// mayUpload reports whether a message may hold a file that is uploaded before it is sent: none but
// JSON does. One to another FHIR server does not: Redox's file store is none of its business, nor are its tokens
// Redox's.
func (c *Client) mayUpload(m *outbox.Message) bool {
	switch {
	case !c.cfg.Offload.Enabled || m.Kind == outbox.KindPlatform || m.Kind == outbox.KindFile:
		return false
	case m.Kind == outbox.KindFHIR:
		if s := c.sender(m.Source); s == nil || s.NoSlugGuard || !saysJSON(m) {
			return false
		}
	}
	if len(m.Body) == 0 { // it may still be in the object store
		return m.BodyObject != ""
	}
	return int64(len(m.Body)) > c.cfg.Offload.Over
}

// mayEmbed has a quick look at whether a body may hold files.
func mayEmbed(m *outbox.Message) bool {
	if m.Kind == outbox.KindFHIR {
		return bytes.Contains(m.Body, []byte(`"data"`))
	}
	e, err := readEnvelope(contract.WithoutMark(m.Body))
	return err == nil && canEmbed(e.dataModel)
}

// asked are the pause scopes of the hosts that requests for a message went to. A nil one notes
// nothing.
type asked struct {
	targets *targets
	hosts   []string
}

func (a *asked) note(target *url.URL) {
	if a == nil {
		return
	}
	alone := a.targets.apiAlone
	if target.Host == a.targets.upload.Host {
		alone = a.targets.blobAlone
	}
	if len(a.hosts) == 0 {
		a.hosts = alone[:1:1] // whoever appends to it copies it
	} else if a.hosts[len(a.hosts)-1] != alone[0] {
		a.hosts = append(a.hosts, alone[0])
	}
}

// asked is told of the hosts that are asked; nil when there is but one.
func (t *targets) asked() *asked {
	if t.apiScope == t.blobScope {
		return nil
	}
	return &asked{targets: t, hosts: []string{}}
}

// join joins base and path. The names are those of the settings, for errors.
func join(baseName, base, pathName, path string) (*url.URL, error) {
	u, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, fmt.Errorf("redox: %s: not a URL; use one like https://api.redoxengine.com", baseName)
	case u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("redox: %s: use scheme, host and path only, like https://api.redoxengine.com", baseName)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, fmt.Errorf("redox: %s: http to %s would show the token; use https", baseName, u.Hostname())
	case path == "" || path[0] != '/':
		return nil, fmt.Errorf("redox: %s: %q; start it with /", pathName, path)
	}
	ref, err := url.Parse(path)
	if err != nil || ref.Host != "" || ref.RawQuery != "" || ref.Fragment != "" {
		return nil, fmt.Errorf("redox: %s: use a path only, like /endpoint", pathName)
	}
	if u.Path == "" {
		u.Path = "/" // otherwise the joined path is relative, which no server takes
	}
	return u.JoinPath(ref.EscapedPath()), nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
