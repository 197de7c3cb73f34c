package outbox

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

// ReplyPolicy decides which reply subjects a worker answers. A publisher
// chooses the subject, the worker's rights publish to it: without this check
// the worker could be made to write anywhere it may.
//
// The durable reply subjects of the message's own source are always allowed.
// Allow adds patterns; nil means _INBOX.>, an empty slice none. In a pattern
// {source} stands for the message's source. Subjects that begin with $ and
// subjects under the prefix are never allowed by a pattern.
type ReplyPolicy struct {
	Prefix contract.Prefix
	Allow  []string
}

const sourceMark = "{source}"

var defaultAllow = []string{"_INBOX.>"}

func (r ReplyPolicy) allow() []string {
	if r.Allow == nil {
		return defaultAllow
	}
	return r.Allow
}

// Validate reports every pattern that is malformed or allows too much.
func (r ReplyPolicy) Validate() error {
	errs := []error{r.Prefix.Validate()}
	for _, pattern := range r.Allow {
		if reason := r.badPattern(pattern); reason != "" {
			errs = append(errs, fmt.Errorf("outbox: reply pattern %q %s", wire.Clip(pattern), reason))
		}
	}
	return errors.Join(errs...)
}

func (r ReplyPolicy) badPattern(pattern string) string {
	tokens := strings.Split(pattern, ".")
	for i, t := range tokens {
		switch {
		case t == "":
			return "has an empty token"
		case !wire.Visible(t):
			return "holds a space or a character outside visible ASCII"
		case t == ">" && i != len(tokens)-1:
			return "has > before its end"
		case len(t) > 1 && strings.ContainsAny(t, "*>"):
			return "has a wildcard inside a token: it must be a token of its own"
		}
	}
	switch tokens[0] {
	case "*", ">":
		return "begins with a wildcard: name the first token"
	case r.Prefix.String():
		return "is under the prefix: there only a source's own reply subjects are allowed"
	}
	if pattern[0] == '$' {
		return "begins with $: those subjects belong to the server"
	}
	return ""
}

// Check reports, with a *ContractError, a reply subject that is not allowed
// for a message of source. It allocates only then. Safe for concurrent use.
func (r ReplyPolicy) Check(source, subject string) error {
	if err := checkSubject(contract.HeaderReplyTo, subject); err != nil {
		return err
	}
	if subject[0] == '$' {
		return &ContractError{Part: contract.HeaderReplyTo, Reason: "belongs to the server"}
	}
	if rest, ok := strings.CutPrefix(subject, r.Prefix.String()); ok && (rest == "" || rest[0] == '.') {
		return checkOwnReply(source, rest)
	}
	for _, pattern := range r.allow() {
		if matches(pattern, source, subject) {
			return nil
		}
	}
	return &ContractError{Part: contract.HeaderReplyTo, Reason: "is not among the allowed reply subjects"}
}

// checkOwnReply accepts .reply.<source>.<at least one token>.
func checkOwnReply(source, rest string) error {
	rest, ok := strings.CutPrefix(rest, ".reply.")
	if ok && source != "" {
		if rest, ok = strings.CutPrefix(rest, source); ok && len(rest) > 1 && rest[0] == '.' {
			return nil
		}
	}
	return &ContractError{Part: contract.HeaderReplyTo, Reason: "is under the prefix but is not a reply subject of the message's own source"}
}

// matches compares token by token; the subject is known to be literal.
func matches(pattern, source, subject string) bool {
	for {
		want, morePattern, patternGoesOn := strings.Cut(pattern, ".")
		if want == ">" {
			return true
		}
		got, moreSubject, subjectGoesOn := strings.Cut(subject, ".")
		if want != "*" && !sameToken(want, source, got) {
			return false
		}
		if patternGoesOn != subjectGoesOn {
			return false
		}
		if !patternGoesOn {
			return true
		}
		pattern, subject = morePattern, moreSubject
	}
}

func sameToken(want, source, got string) bool {
	before, after, marked := strings.Cut(want, sourceMark)
	if !marked {
		return want == got
	}
	return source != "" && len(got) == len(before)+len(source)+len(after) &&
		strings.HasPrefix(got, before) && strings.HasSuffix(got, after) &&
		got[len(before):len(before)+len(source)] == source
}
