package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/redoxworker/redoxworker/auth/internal/answer"
)

// Names that an [OAuth] sets itself.
var (
	ownParams = []string{"grant_type", "client_assertion_type", "client_assertion", "scope"}
	ownClaims = []string{"iss", "sub", "aud", "iat", "exp", "nbf", "jti"}
)

// checkParams refuses fields that are set already. Its error has no package prefix.
func checkParams(params url.Values) error {
	var bad []error
	for _, name := range slices.Sorted(maps.Keys(params)) {
		switch {
		case name == "":
			bad = append(bad, errors.New("a parameter has no name: give it one"))
		case name == "scope":
			bad = append(bad, errors.New("the parameter scope has a place of its own: use Scope"))
		case slices.Contains(ownParams, name):
			bad = append(bad, fmt.Errorf("the parameter %s is set already: remove it", name))
		}
	}
	return errors.Join(bad...)
}

// cloneParams copies fields; there is always a map.
func cloneParams(params url.Values) url.Values {
	copied := make(url.Values, len(params)+len(ownParams))
	for name, values := range params {
		copied[name] = slices.Clone(values)
	}
	return copied
}

// encodeClaims writes claims once, so that what they point to may change. Its error has no
// package prefix and quotes no value.
func encodeClaims(claims map[string]any) (map[string]json.RawMessage, error) {
	var bad []error
	encoded := make(map[string]json.RawMessage, len(claims))
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		shown := answer.Clip(name, 64)
		value, err := json.Marshal(claims[name])
		switch {
		case name == "":
			bad = append(bad, errors.New("a claim has no name: give it one"))
		case slices.Contains(ownClaims, name):
			bad = append(bad, fmt.Errorf("the claim %s is set already: remove it", name))
		case err != nil:
			bad = append(bad, fmt.Errorf("the claim %q cannot be written as JSON (%T): give a string, a number, a list or a map of them", shown, claims[name]))
		}
		encoded[name] = value
	}
	return encoded, errors.Join(bad...)
}
