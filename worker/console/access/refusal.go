package access

import (
	"fmt"
	"slices"
	"strings"
)

// Refusal is returned when somebody may not do what they asked for. Its text names the role that
// they lack, and is meant for them.
type Refusal struct {
	User   string
	Action Action
	// Source is "" for all sources, and for what is of none.
	Source string
	// Role that the action takes, for the source.
	Role Role
	// anywhere: for no source at all may they.
	anywhere bool
	// has says in words what the user may do.
	has string
}

// Error tells them.
func (e *Refusal) Error() string {
	where := " for all sources"
	switch {
	case e.anywhere:
		where = ""
	case e.Source != "":
		where = " for " + e.Source
	}
	return fmt.Sprintf("%s may not %s: that takes the role %s%s, and %s", e.User, deeds[e.Action], e.Role, where, e.has)
}

// deeds are the actions in a sentence.
var deeds = map[Action]string{
	See: "see this", Replay: "replay messages", Retry: "retry failed rows", Discard: "discard messages", Pause: "pause delivery", Resume: "resume delivery", Hold: "hold messages back",
	Release: "release messages", Reveal: "see bodies", Edit: "edit bodies", Export: "export bodies", Sources: "change sources", Audit: "read the audit trail",
}

// Check returns nil when the user may do something to a source, as [User.May] says, and a [*Refusal]
// otherwise.
func (u User) Check(a Action, source string) error {
	if u.May(a, source) {
		return nil
	}
	return &Refusal{User: u.Name, Action: a, Source: source, Role: a.Least(), has: u.Has()}
}

// CheckAny returns nil when there can be a source to which the user may do something, as [User.MayAny]
// says, and a [*Refusal] otherwise.
func (u User) CheckAny(a Action) error {
	if u.MayAny(a) {
		return nil
	}
	return &Refusal{User: u.Name, Action: a, Role: a.Least(), anywhere: true, has: u.Has()}
}

// Has says in words which roles the user has.
func (u User) Has() string {
	var roles []string
	for _, g := range u.Grants {
		if len(g.Sources) > 0 {
			role := string(g.Role)
			if !slices.Contains(g.Sources, all) {
				role += " for " + strings.Join(g.Sources, " ")
			}
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	if roles = slices.Compact(roles); len(roles) == 0 {
		return "they have no role"
	}
	return "they are " + strings.Join(roles, ", ")
}
