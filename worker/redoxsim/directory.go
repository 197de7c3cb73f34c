package redoxsim

import (
	"crypto"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/redoxworker/redoxworker/worker/redoxsim/internal/assertion"
)

// Source is a sender registered with the simulated Redox.
type Source struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Keys are the OAuth client ids and legacy API keys that may send as this source. Empty means every OAuth key.
	Keys []string `json:"keys,omitempty"`
	// Environment is Development, Staging or Production: the only one that this source may name in the path of a FHIR
	// request (Redox, Create an OAuth API key: a key belongs to one environment). Empty means any.
	Environment string `json:"environment,omitempty"`
}

// Destination is a receiver that the sources have a subscription to.
type Destination struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// DataModels are those of its subscriptions. Empty means all. A message of another data model is answered 403
	// (inferred from Redox, Error handling: 403 and 404 for a missing interaction).
	// The FHIR resource Patient is "FHIR.Patient" here.
	DataModels []string `json:"data_models,omitempty"`
	// Slug is its name in the path of a FHIR request. From the first destination with a slug on, others are unknown.
	Slug string `json:"slug,omitempty"`
}

// directory is what an operator would have set up in Redox's dashboard. Its zero value is empty.
type directory struct {
	mu           sync.RWMutex
	clients      map[string]*client
	legacy       map[string]string // API key to secret
	sources      map[string]Source
	destinations map[string]Destination
}

// client is one OAuth API key: a key set by value or by URL.
type client struct {
	keys    map[string]crypto.PublicKey
	jwksURL string
	kind    keyKind
}

func (d *directory) client(id string) *client {
	if d.clients == nil {
		d.clients = map[string]*client{}
	}
	c := d.clients[id]
	if c == nil {
		c = &client{keys: map[string]crypto.PublicKey{}}
		d.clients[id] = c
	}
	return c
}

// AddOAuthKey registers the public half of an OAuth API key under its kid: an RSA key of at least 2048 bits (RS384) or
// an EC key on P-384 (ES384). A key of the same kid is replaced.
func (s *Server) AddOAuthKey(clientID, kid string, pub crypto.PublicKey) error {
	return s.addKey(clientID, kid, pub, orgKey)
}

// AddUserKey is AddOAuthKey for a user-level key: its tokens are for the Platform API and for nothing else, while those
// of other keys are not for the Platform API (Redox, Authenticate a user-level API key). A client id is of one level.
func (s *Server) AddUserKey(clientID, kid string, pub crypto.PublicKey) error {
	return s.addKey(clientID, kid, pub, userKey)
}

func (s *Server) addKey(clientID, kid string, pub crypto.PublicKey, kind keyKind) error {
	if clientID == "" || kid == "" {
		return errors.New("redoxsim: a client id and a kid are needed")
	}
	if err := assertion.CheckKey(pub); err != nil {
		return err
	}
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	c := s.dir.client(clientID)
	if len(c.keys) > 0 && c.kind != kind {
		return errors.New("redoxsim: the client id has keys of the other level already")
	}
	c.keys[kid], c.kind = pub, kind
	return nil
}

// kindOf says which APIs the tokens of a client id are for.
func (d *directory) kindOf(clientID string) keyKind {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if c := d.clients[clientID]; c != nil {
		return c.kind
	}
	return orgKey
}

// AddJWKS registers every key of a JWK set for one client id. Private members are refused.
func (s *Server) AddJWKS(clientID string, set []byte) error { return s.addSet(clientID, set, orgKey) }

func (s *Server) addSet(clientID string, set []byte, kind keyKind) error {
	keys, err := assertion.ParseSet(set)
	if err != nil {
		return err
	}
	for kid, pub := range keys {
		if err := s.addKey(clientID, kid, pub, kind); err != nil {
			return err
		}
	}
	return nil
}

// AddJWKSURL makes the simulator fetch the client's keys from a URL at each token request. As at Redox, keys given by
// value are then ignored (Redox, Authenticate an OAuth API key).
func (s *Server) AddJWKSURL(clientID, url string) {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	s.dir.client(clientID).jwksURL = url
}

// RemoveOAuthKey withdraws one key, or all keys and the key-set URL of the client when kid is empty. Tokens already
// issued stay valid.
func (s *Server) RemoveOAuthKey(clientID, kid string) {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	if c := s.dir.clients[clientID]; c != nil && kid != "" {
		delete(c.keys, kid)
		return
	}
	delete(s.dir.clients, clientID)
}

// AddLegacyKey registers a legacy API key. A second call with another secret ends the old secret at once (Redox,
// Generate a new secret value); tokens live on.
func (s *Server) AddLegacyKey(apiKey, secret string) {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	if s.dir.legacy == nil {
		s.dir.legacy = map[string]string{}
	}
	s.dir.legacy[apiKey] = secret
}

// AddSource registers a source. From the first one on, messages of unknown sources are refused, and with several
// sources usable by a key the Source ID is required (Redox, Source ID).
func (s *Server) AddSource(src Source) {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	if s.dir.sources == nil {
		s.dir.sources = map[string]Source{}
	}
	s.dir.sources[foldID(src.ID)] = src
}

// AddDestination registers a destination. From the first one on, messages to unknown destinations are refused.
func (s *Server) AddDestination(d Destination) {
	s.dir.mu.Lock()
	defer s.dir.mu.Unlock()
	if s.dir.destinations == nil {
		s.dir.destinations = map[string]Destination{}
	}
	s.dir.destinations[d.ID] = d
}

// usable says whether id is known and may be used by the key, and counts the sources that the key may use.
func (d *directory) usable(id string, t *token) (known, allowed bool, count int) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.sources) == 0 {
		return true, true, 0
	}
	for _, src := range d.sources {
		if src.allows(t) {
			count++
		}
	}
	src, known := d.sources[foldID(id)]
	return known, known && src.allows(t), count
}

// foldID is a Source ID as it is compared: it is a UUID, which may be written in either case (RFC 9562, section 4).
func foldID(id string) string { return strings.ToLower(id) }

// sourceOf is the one source that a key sends as when a message names none; empty when there is not exactly one.
func (d *directory) sourceOf(t *token) Source {
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found Source
	for _, src := range d.sources {
		if !src.allows(t) {
			continue
		}
		if found.ID != "" {
			return Source{}
		}
		found = src
	}
	return found
}

func (s Source) allows(t *token) bool {
	if len(s.Keys) == 0 {
		return t.kind == orgKey
	}
	return slices.Contains(s.Keys, t.owner)
}

func (d *directory) destination(id string) (Destination, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.destinations) == 0 {
		return Destination{ID: id}, true
	}
	found, ok := d.destinations[id]
	return found, ok
}

// bySlug finds a destination by the slug in the path of a FHIR request.
func (d *directory) bySlug(slug string) (Destination, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	strict := false
	for _, found := range d.destinations {
		if found.Slug == slug {
			return found, true
		}
		strict = strict || found.Slug != ""
	}
	return Destination{ID: slug, Slug: slug}, !strict
}

// environmentOf is the environment that a source is bound to, "" for none.
func (d *directory) environmentOf(source string) string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.sources[foldID(source)].Environment
}

func (d *directory) secretOf(apiKey string) (string, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	secret, ok := d.legacy[apiKey]
	return secret, ok
}
