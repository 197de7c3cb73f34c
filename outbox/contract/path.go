package contract

import (
	"strings"
	"unicode/utf8"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func errPath(reason string) error { return &Error{Part: HeaderPath, Reason: reason} }

// CheckFHIRPath is [CheckPath] for a message of kind fhir. It also takes a link of an answer, an absolute
// URL, by its form: where the API is, and so whether the link leads to it, only a worker knows.
func CheckFHIRPath(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || !strings.EqualFold(scheme, "http") && !strings.EqualFold(scheme, "https") {
		return CheckPath(s)
	}
	if len(s) > wire.MaxPath {
		return errPath(wire.TooLong(wire.MaxPath))
	}
	authority := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority = rest[:i]
	}
	if authority == "" || strings.Trim(authority, hostLetters) != "" {
		return errPath("is a URL whose host has a user, an escape or another character that no host has")
	}
	rest = rest[len(authority):]
	if rest == "" || rest[0] != '/' {
		return errPath("is a URL without a path")
	}
	return CheckPath(rest)
}

// hostLetters are those of host names and of addresses, with their ports.
const hostLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-:[]"

// CheckPath applies the rule for the path of a message that is no URL. The error is an *[Error] and holds
// nothing of the path.
//
// It refuses every path that could leave the base path it is joined to,
// whoever decodes it how often: dot segments, an authority, a scheme, and the
// encoded forms of their characters. The empty path is the base itself. Characters that no
// URI has, such as a blank, | or ü, are taken: a worker percent-encodes them.
func CheckPath(s string) error {
	if len(s) > wire.MaxPath {
		return errPath(wire.TooLong(wire.MaxPath))
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return errPath("holds a control character or is not UTF-8")
	}
	if s != "" && (s[0] == ' ' || s[len(s)-1] == ' ') {
		return errPath("begins or ends with a space, which a header does not keep: percent-encode it")
	}
	path, query, _ := strings.Cut(s, "?")
	if strings.Contains(s, "#") || strings.Contains(path, `\`) {
		return errPath("holds a backslash or a fragment (#): percent-encode it in the query string")
	}
	if err := checkEscapes(path, true); err != nil {
		return err
	}
	if err := checkEscapes(query, false); err != nil {
		return err
	}
	head, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if strings.Contains(head, ":") {
		return errPath("begins with a scheme: only fhir takes a URL, a link of http or https as an answer has it")
	}
	if strings.Contains(path, "//") {
		return errPath("has an empty segment, which could name a host")
	}
	for {
		// "..;x" is a dot segment to servers that cut path parameters off.
		if seg, _, _ := strings.Cut(head, ";"); seg == "." || seg == ".." {
			return errPath("has a dot segment, which could leave its base")
		}
		if rest == "" {
			return nil
		}
		head, rest, _ = strings.Cut(rest, "/")
	}
}

// checkEscapes checks the percent-encoding. In the path no escape may stand
// for a separator, a dot, a percent sign or a control character.
func checkEscapes(s string, inPath bool) error {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		if i+2 >= len(s) {
			return errPath("has a percent sign that encodes nothing: write %25")
		}
		hi, lo := unhex(s[i+1]), unhex(s[i+2])
		if hi > 15 || lo > 15 {
			return errPath("has a percent sign that encodes nothing: write %25")
		}
		i += 2
		if !inPath {
			continue
		}
		switch c := hi<<4 | lo; {
		case c < ' ' || c == 0x7f:
			return errPath("has an encoded control character")
		case c == '/', c == '\\', c == '.', c == '%', c == '?', c == '#', c == ';':
			return errPath("has an encoded separator, dot or percent sign")
		}
	}
	return nil
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}
