package smart

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/auth/internal/answer"
	"github.com/redoxworker/redoxworker/auth/internal/remote"
)

// Bounds of a document and of how long it is kept.
const (
	maxDocument = 256 << 10 // bytes
	defaultKept = time.Hour
	leastKept   = time.Minute
	mostKept    = 24 * time.Hour
)

// Document is what a server says about itself, as far as it matters here.
type Document struct {
	// Issuer is the server's own name, "" when it has none.
	Issuer string
	// TokenURL is the token endpoint.
	TokenURL string
	// Algorithms are those of assertions that it takes; empty when it does not say.
	Algorithms []string
	// AuthMethods and GrantTypes are those of its token endpoint; empty when it does
	// not say.
	AuthMethods, GrantTypes []string
	// Scopes and Capabilities are what it supports; empty when it does not say.
	Scopes, Capabilities []string
	// Until is when the document is asked for again.
	Until time.Time
}

// texts is a list of texts, of which a server may make what it likes: anything else is none.
type texts []string

// UnmarshalJSON never fails.
func (t *texts) UnmarshalJSON(data []byte) error {
	var list []string
	if json.Unmarshal(data, &list) == nil {
		*t = list
	}
	return nil
}

// readDocument reads a document; its error quotes nothing.
func readDocument(body []byte) (Document, error) {
	var d struct {
		Issuer       string `json:"issuer"`
		Token        string `json:"token_endpoint"`
		Algorithms   texts  `json:"token_endpoint_auth_signing_alg_values_supported"`
		Methods      texts  `json:"token_endpoint_auth_methods_supported"`
		Grants       texts  `json:"grant_types_supported"`
		Scopes       texts  `json:"scopes_supported"`
		Capabilities texts  `json:"capabilities"`
	}
	switch err := json.Unmarshal(body, &d); {
	case err != nil:
		return Document{}, errors.New("it is not a JSON object of its kind")
	case d.Token == "":
		return Document{}, errors.New("it names no token_endpoint")
	}
	return Document{Issuer: d.Issuer, TokenURL: d.Token, Algorithms: d.Algorithms, AuthMethods: d.Methods, GrantTypes: d.Grants,
		Scopes: d.Scopes, Capabilities: d.Capabilities}, nil
}

// checkEndpoint says why the token endpoint is not asked, and what helps.
func (d Document) checkEndpoint(base *url.URL, cfg Config) (mend string, why error) {
	const wrong = "tell the server's people, or give the endpoint to auth.NewOAuth"
	u, err := remote.Check("its token_endpoint", d.TokenURL, cfg.OAuth.HTTPHosts)
	host := ""
	if err == nil {
		host = strings.ToLower(u.Hostname())
	}
	known := func(h string) bool { return strings.EqualFold(h, host) }
	switch {
	case err != nil:
		return wrong, err
	case base.Scheme == "https" && u.Scheme != "https":
		return wrong, errors.New("its token_endpoint is http, and the FHIR base is https")
	case !known(base.Hostname()) && !slices.ContainsFunc(cfg.TokenHosts, known):
		return "name that host in TokenHosts, if it is the server's", fmt.Errorf("its token_endpoint is at another host, %s", answer.Clip(host, 128))
	case len(d.AuthMethods) > 0 && !slices.Contains(d.AuthMethods, "private_key_jwt"):
		return "ask the server's people for a client of another kind: this package cannot help", errors.New("its token endpoint takes no signed assertions (private_key_jwt)")
	case len(d.GrantTypes) > 0 && !slices.Contains(d.GrantTypes, "client_credentials"):
		return "ask the server's people for SMART Backend Services", errors.New("its token endpoint gives no tokens to services (client_credentials)")
	}
	return "", nil
}

// takes reports whether the server takes what a key signs with.
func (d Document) takes(k auth.Key) bool {
	return len(d.Algorithms) == 0 || slices.Contains(d.Algorithms, string(k.Algorithm()))
}

// checkKeys says why no key signs what the server takes, and what helps.
func (d Document) checkKeys(keys []auth.Key) (mend string, why error) {
	if slices.ContainsFunc(keys, d.takes) {
		return "", nil
	}
	var could []string
	for _, a := range auth.Algorithms() {
		if _, err := keys[0].With(a); err == nil && slices.Contains(d.Algorithms, string(a)) {
			could = append(could, string(a))
		}
	}
	listed := answer.Clip(strings.Join(d.Algorithms, ", "), 128)
	mend = "use a key for one of these"
	if len(could) > 0 {
		mend = "set the algorithm to " + strings.Join(could, " or ")
	}
	return mend, fmt.Errorf("the server takes %s, and the key signs %s", answer.SafeText(listed), keys[0].Algorithm())
}

// kept is how long a document is good for by its Cache-Control, within bounds.
func kept(cacheControl string) time.Duration {
	life := defaultKept
	for directive := range strings.SplitSeq(strings.ToLower(cacheControl), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch name {
		case "no-store", "no-cache":
			return leastKept
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `" `), 10, 31)
			if err == nil {
				life = time.Duration(seconds) * time.Second
			}
		}
	}
	return min(max(life, leastKept), mostKept)
}
