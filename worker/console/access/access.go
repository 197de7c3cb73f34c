// Package access says who may do what in the web console.
//
// Who asks is a [User] in the context of the request: what lets people in puts it there, the console
// asks it before it shows or does anything, and asks for nothing else. A role is given for the
// sources that match a pattern, as in path.Match: "*" for all of them, "clinic-*" for some.
package access

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Role is what somebody may do. Each includes those before it.
type Role string

// The roles, the least first.
const (
	// Viewer sees everything but bodies and the audit trail.
	Viewer Role = "viewer"
	// Operator replays and discards dead letters, and failed rows of the outbox, pauses and resumes, holds
	// and releases.
	Operator Role = "operator"
	// Revealer sees bodies, edits and exports them.
	Revealer Role = "revealer"
	// Admin adds, changes and removes sources, and reads the audit trail.
	Admin Role = "admin"
)

// Roles are all that there are, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Revealer, Admin} }

// Action is something that somebody may do or not.
type Action string

// The actions.
const (
	See     Action = "see" // anything but bodies and the audit trail
	Replay  Action = "replay"
	Retry   Action = "retry" // failed rows of the outbox
	Discard Action = "discard"
	Pause   Action = "pause"
	Resume  Action = "resume"
	Hold    Action = "hold"
	Release Action = "release"
	Reveal  Action = "reveal"  // bodies and hidden headers of one dead letter
	Edit    Action = "edit"    // of its body, which shows it
	Export  Action = "export"  // of bodies
	Sources Action = "sources" // to add, change and remove them; who may do that with some gives them the keys that these have
	Audit   Action = "audit"   // to read it
)

// Actions are all that there are.
func Actions() []Action {
	return []Action{See, Replay, Retry, Discard, Pause, Resume, Hold, Release, Reveal, Edit, Export, Sources, Audit}
}

// Least is the role that an action takes.
func (a Action) Least() Role {
	switch a {
	case See:
		return Viewer
	case Replay, Retry, Discard, Pause, Resume, Hold, Release:
		return Operator
	case Reveal, Edit, Export:
		return Revealer
	}
	return Admin
}

// May reports whether a role allows an action. One that does not exist allows nothing.
func (r Role) May(a Action) bool {
	at := slices.Index(Roles(), r)
	return at >= 0 && slices.Contains(Actions(), a) && at >= slices.Index(Roles(), a.Least())
}

// Grant is a role for some sources.
type Grant struct {
	Role Role
	// Sources are patterns of their names; none means no source.
	Sources []string
}

// User is who asks. The zero User may do nothing.
type User struct {
	// Name as the audit trail calls them.
	Name string
	// Grants are what they may, each by itself.
	Grants []Grant
	// SignOut is the path, below the root of the console and without a slash before it, to which a
	// POST ends the session; empty where there is none to end.
	SignOut string
	// Remote is where the request comes from, as far as is known: an address.
	Remote string
	// OverTLS: the browser speaks TLS, to the console or to a proxy in front.
	OverTLS bool
}

// May reports whether the user may do something to a source. The source "" stands for all sources, and
// for what is of no source: only who has the role for "*" may.
func (u User) May(a Action, source string) bool {
	return slices.ContainsFunc(u.Patterns(a), func(pattern string) bool {
		if pattern == all {
			return true
		}
		matches, err := path.Match(pattern, source)
		return err == nil && matches && source != ""
	})
}

const all = "*"

// MayAny reports whether there can be a source to which the user may do something.
func (u User) MayAny(a Action) bool { return len(u.Patterns(a)) > 0 }

// Highest is the highest role that the user has for any source; "" for none.
func (u User) Highest() (highest Role) {
	for _, g := range u.Grants {
		if len(g.Sources) > 0 && slices.Index(Roles(), g.Role) > slices.Index(Roles(), highest) {
			highest = g.Role
		}
	}
	return highest
}

// Patterns are those of the sources to which the user may do something.
func (u User) Patterns(a Action) []string {
	var patterns []string
	for _, g := range u.Grants {
		if g.Role.May(a) {
			patterns = append(patterns, g.Sources...)
		}
	}
	return patterns
}

type userKey struct{}

// With returns a context of a request of the user.
func With(ctx context.Context, u User) context.Context { return context.WithValue(ctx, userKey{}, u) }

// From returns the user of a request; ok is false where nobody was let in.
func From(ctx context.Context) (u User, ok bool) {
	u, ok = ctx.Value(userKey{}).(User)
	return u, ok
}

// Relative is a reference from the page of a request to a path below the root of the console, without
// a slash before it. It holds wherever the console is mounted, and behind a proxy that takes away a
// part of the path. The URL of the request begins at the root of the console.
func Relative(r *http.Request, to string) string {
	up := strings.Repeat("../", max(0, strings.Count(r.URL.EscapedPath(), "/")-1))
	if up == "" && (to == "" || to[0] == '?') { // alone it would be this page
		return "./" + to
	}
	return up + to
}
