package access

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Identity is who somebody is, as a way to sign in tells it.
type Identity struct {
	// Name as the audit trail calls them; one that nobody can choose for themselves.
	Name string
	// Groups that they are in.
	Groups []string
}

// Rule gives a role to somebody.
type Rule struct {
	Role Role
	// Name of a user, or "*" for whoever is known. It counts where Group is "".
	Name string
	// Group of users.
	Group string
	// Sources are patterns of their names.
	Sources []string
}

// groupPrefix begins a rule for a group.
const groupPrefix = "group:"

// ParseRule reads who has a role: a name, "group:" and a name, or "*" for whoever is known; " for "
// and patterns of sources, with blanks between, limit it to those.
func ParseRule(role Role, text string) (Rule, error) {
	r := Rule{Role: role, Name: strings.TrimSpace(text), Sources: []string{all}}
	if at := strings.LastIndex(text, " for "); at >= 0 {
		r.Name, r.Sources = strings.TrimSpace(text[:at]), strings.Fields(text[at+len(" for "):])
	}
	if group, ok := strings.CutPrefix(r.Name, groupPrefix); ok {
		r.Name, r.Group = "", strings.TrimSpace(group)
	}
	return r, r.valid()
}

func (r Rule) valid() error {
	switch {
	case !slices.Contains(Roles(), r.Role):
		return fmt.Errorf("role %q: is none of %v", r.Role, Roles())
	case r.Name == "" && r.Group == "":
		return fmt.Errorf("role %s: a rule names nobody: give a Name, a Group or *", r.Role)
	case len(r.Sources) == 0:
		return fmt.Errorf("role %s: the rule for %s%s names no source: give patterns, or * for all", r.Role, r.Name, r.Group)
	}
	for _, p := range r.Sources {
		if _, err := path.Match(p, "a"); err != nil {
			return fmt.Errorf("role %s: %q is not a pattern of sources: write a name in which * stands for any letters", r.Role, p)
		}
	}
	return nil
}

// applies reports whether the rule is about somebody.
func (r Rule) applies(who Identity) bool {
	if r.Group != "" {
		return slices.Contains(who.Groups, r.Group)
	}
	return r.Name == all || r.Name == who.Name
}

// grants are what the rules give to somebody.
func grants(rules []Rule, who Identity) []Grant {
	var given []Grant
	for _, r := range rules {
		if r.applies(who) {
			given = append(given, Grant{Role: r.Role, Sources: slices.Clone(r.Sources)})
		}
	}
	return given
}

// known are the groups that some rule names: the others give nothing and are forgotten.
func known(rules []Rule, groups []string) []string {
	var named []string
	for _, g := range groups {
		if !slices.Contains(named, g) && slices.ContainsFunc(rules, func(r Rule) bool { return r.Group == g }) {
			named = append(named, g)
		}
	}
	return named
}
