package config

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// UserKey returns the name of the user-level key for the Platform API: name itself, or the only one
// if name is "". The error names the mend.
func (c *Config) UserKey(name string) (string, error) {
	users := slices.DeleteFunc(slices.Sorted(maps.Keys(c.Keys)), func(n string) bool { return c.Keys[n].Type != KeyUser })
	_, known := c.Keys[name]
	switch {
	case name != "" && slices.Contains(users, name):
		return name, nil
	case known:
		return "", fmt.Errorf("key %s is not a user-level key, and the Platform API takes no other; name one of type user", name)
	case name != "":
		return "", fmt.Errorf("no key is called %s; user-level keys: %s", shown(name), orNone(users))
	case len(users) == 1:
		return users[0], nil
	case len(users) == 0:
		return "", errors.New("no key is of type user, and the Platform API takes no other; make a user-level key in Redox's dashboard")
	}
	return "", fmt.Errorf("there are several keys of type user; name one of %s", strings.Join(users, ", "))
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// organizationPattern keeps the id one segment of a path: Redox shows numbers and UUIDs.
var organizationPattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (l *loader) checkReconcile(c *Config) {
	r := c.Reconcile
	if id := c.Redox.OrganizationID; id != "" && !organizationPattern.MatchString(id) {
		l.problem("redox.organization_id", shown(id)+" is not an id", "copy the organization's id from Redox's dashboard")
	}
	if r.Interval > r.GiveUp && !l.failed["reconcile.interval"] && !l.failed["reconcile.give_up"] {
		l.problem("reconcile.interval", fmt.Sprintf("%s is longer than reconcile.give_up (%s)", formatDuration(r.Interval), formatDuration(r.GiveUp)),
			"give at most reconcile.give_up, or raise that")
	}
	if !r.Enabled || l.skip&PartKeys != 0 {
		return
	}
	if c.Redox.OrganizationID == "" && !l.failed["redox.organization_id"] {
		l.problem("redox.organization_id", "is missing, and reconcile.enabled needs it", "copy the organization's id from Redox's dashboard")
	}
	if key, err := c.UserKey(r.Key); err != nil {
		text, mend, _ := strings.Cut(err.Error(), "; ")
		l.problem("reconcile.key", text, mend)
	} else {
		c.Reconcile.Key = key
	}
}
