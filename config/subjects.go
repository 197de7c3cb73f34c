package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

var errSubject = errors.New("not a subject")

// maxSubject bounds a subject; the server's own bound is its control line, 4 KB.
const maxSubject = 1024

// checkSubject checks the form of a NATS subject, which may have wildcards.
func checkSubject(subject string) error {
	if subject == "" || len(subject) > maxSubject {
		return errSubject
	}
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		switch {
		case t == "", strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return errSubject
		case t == ">" && i != len(tokens)-1:
			return errSubject
		case len(t) > 1 && strings.ContainsAny(t, "*>"):
			return errSubject
		}
	}
	return nil
}

// sourceMark stands for the name of the source in reply.allow.
const sourceMark = "{source}"

// checkReply checks reply.allow. A reply that the worker sends with its own
// permissions must not be a request to the server ($JS, $SYS, $KV, $O) nor reach
// the streams, so a pattern begins with a plain token of the applications' own.
func (l *loader) checkReply(c *Config) {
	sources := slices.Sorted(maps.Keys(c.Sources))
	for _, pattern := range c.Reply.Allow {
		text, mend := replyFault(pattern, c.NATS.Prefix, sources)
		if text != "" {
			l.problem("reply.allow", shown(pattern)+" "+text, mend)
		}
	}
}

// replyFault says what is wrong with one pattern; "" when nothing is.
func replyFault(pattern, prefix string, sources []string) (text, mend string) {
	plain := strings.ReplaceAll(pattern, sourceMark, "source")
	if checkSubject(plain) != nil || strings.ContainsAny(plain, "{}") {
		return "is not a NATS subject", "write a pattern such as _INBOX.> or app.{source}.replies.>"
	}
	first, rest, _ := strings.Cut(pattern, ".")
	own := "reply." + sourceMark + "."
	switch {
	case strings.ContainsAny(first, "*>"):
		return "covers subjects of the server and of " + prefix + ".out", "begin with a plain token"
	case strings.HasPrefix(first, "$"):
		return "reaches subjects of the server", "allow subjects of applications only"
	case first == prefix && !strings.HasPrefix(rest, own):
		return "reaches subjects of " + prefix + " other than replies", "remove it; " + prefix + "." + own + "> is always allowed"
	}
	for _, s := range append(slices.Clone(sources), "") {
		if first != prefix && strings.ReplaceAll(first, sourceMark, s) == prefix {
			return "reaches subjects of " + prefix + " for source " + shown(s), "begin with a plain token that is not " + prefix
		}
	}
	return "", ""
}
