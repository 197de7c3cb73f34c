package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// needsID reports whether a source on the key must name its Source ID. A legacy key
// belongs to one source, which Redox knows by it (Redox, Authenticate a legacy API key),
// and a user-level key to none.
func needsID(k Key) bool { return k.Type != KeyLegacy && k.Type != KeyUser }

// UsesKey reports whether a source, or the reconciler if it is enabled, asks for tokens with a key.
func (c *Config) UsesKey(name string) bool {
	if c.Reconcile.Enabled && c.Reconcile.Key == name {
		return true
	}
	for _, s := range c.Sources {
		if s.Key == name {
			return true
		}
	}
	return false
}

// checkUse finds keys that do not go with what their sources want of them: Redox would
// refuse each of their messages. names are those of the sources, sorted.
func (l *loader) checkUse(c *Config, names []string) {
	if l.skip&PartKeys != 0 {
		return
	}
	l.checkTwins(c)
	l.checkEnvironments(c, names)
	l.checkLegacySources(c, names)
	l.checkScopes(c, names)
	for _, name := range names {
		s := c.Sources[name]
		if c.Keys[s.Key].Type == KeyUser && len(s.Hold) > 0 {
			l.problem("sources."+name+".hold", "names data-model events, and key "+s.Key+" of type user is for the Platform API only",
				"remove it, or give the source a key of type oauth")
		}
	}
}

// checkTwins warns of one client id in two keys of different types: an organization's key
// and a user's are two keys, each good for its own APIs. Only one of the two can be right.
func (l *loader) checkTwins(c *Config) {
	first := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
		k := c.Keys[name]
		if k.ClientID == "" || k.Type == "" {
			continue
		}
		other, seen := first[k.ClientID]
		if !seen {
			first[k.ClientID] = name
			continue
		}
		if c.Keys[other].Type != k.Type {
			l.warn("keys."+name+".client_id", fmt.Sprintf("is that of keys.%s, which is of type %s, and this key is of type %s", other, c.Keys[other].Type, k.Type),
				"set both to the type that Redox's dashboard shows, or give each its own client id")
		}
	}
}

// checkEnvironments finds one API key used in two environments, under one name or two. A
// Redox key belongs to one environment (Redox, Create an OAuth API key). User keys are
// not bound so. Under two names it is a warning, as a server that is not Redox may think
// otherwise of it.
func (l *loader) checkEnvironments(c *Config, names []string) {
	first := map[string]string{}
	for _, name := range names {
		s := c.Sources[name]
		k, ok := c.Keys[s.Key]
		if !ok || k.Type == KeyUser || k.Type == "" || s.Environment == "" {
			continue
		}
		account := k.Type + " " + s.Key
		if id := k.ClientID + k.APIKey.Reveal(); id != "" { // a key has one of the two
			account = k.Type + "=" + id
		}
		other, seen := first[account]
		if !seen {
			first[account] = name
			continue
		}
		o := c.Sources[other]
		switch {
		case o.Environment == s.Environment:
		case o.Key == s.Key:
			l.problem("sources."+name+".key", fmt.Sprintf("key %s already serves sources.%s in %s, and this source is in %s", s.Key, other, o.Environment, s.Environment),
				"give each environment a key of its own")
		default:
			l.warn("sources."+name+".key", fmt.Sprintf("keys %s and %s are one key of Redox, and sources.%s is in %s, this source in %s", o.Key, s.Key, other, o.Environment, s.Environment),
				"give each environment a key of its own")
		}
	}
}

// checkLegacySources finds a legacy key that is to serve two Source IDs.
func (l *loader) checkLegacySources(c *Config, names []string) {
	first := map[string]string{}
	for _, name := range names {
		s := c.Sources[name]
		if c.Keys[s.Key].Type != KeyLegacy || s.ID == "" {
			continue
		}
		other, seen := first[s.Key]
		if !seen {
			first[s.Key] = name
			continue
		}
		if c.Sources[other].ID != s.ID {
			l.problem("sources."+name+".id", fmt.Sprintf("is another one than that of sources.%s, and key %s of type legacy belongs to one source", other, s.Key),
				"give each source its own legacy key, or move both to a key of type oauth")
		}
	}
}

// checkScopes finds a scope that asks for FHIR with a key that is not for FHIR, and warns
// of one that asks for it in other environments than those of the key's sources: they may
// send no FHIR at all. Redox's FHIR scopes are fhir:<environment>.
func (l *loader) checkScopes(c *Config, names []string) {
	of := make(map[string][]string, len(c.Keys)) // sources by their key
	for _, source := range names {
		key := c.Sources[source].Key
		of[key] = append(of[key], source)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Keys)) {
		k := c.Keys[name]
		asked := fhirScopes(k.Scope)
		switch {
		case len(asked) == 0:
			continue
		case k.Type == KeyUser:
			l.problem("keys."+name+".scope", "asks for FHIR, and a key of type user is for the Platform API only", "remove the fhir: scopes, or set keys."+name+".type to oauth")
			continue
		}
		for _, source := range of[name] {
			s := c.Sources[source]
			if s.Environment != "" && !slices.Contains(asked, s.Environment) {
				l.warn("keys."+name+".scope", fmt.Sprintf("asks for FHIR in %s, and sources.%s is in %s", strings.Join(asked, " and "), source, s.Environment),
					"add fhir:"+s.Environment+", or remove the scope")
				break
			}
		}
	}
}

// fhirScopes are the environments that a scope asks for FHIR in.
func fhirScopes(scope string) []string {
	var environments []string
	for one := range strings.FieldsSeq(scope) {
		if environment, ok := strings.CutPrefix(one, "fhir:"); ok {
			environments = append(environments, environment)
		}
	}
	return environments
}
