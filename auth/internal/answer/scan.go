package answer

import "strings"

// What regular expressions would say in three lines stands here by hand: a program that
// needs tokens alone links no package regexp, which is a seventh of what it is larger by.

// minSecret is the length from which a run could be a token or a key. Redox's error texts
// are words; nothing in them is this long. Addresses stay readable.
const minSecret = 24

// withoutSecrets replaces what could be a token, an assertion or a key: a JWT, or a long
// run of letters, digits and _+=~-.
func withoutSecrets(text string) string {
	return replace(text, redacted, func(rest string) int {
		if strings.HasPrefix(rest, "eyJ") {
			if n := span(rest[3:], "_.-"); n > 0 {
				return 3 + n
			}
		}
		if n := span(rest, "_+=~-"); n >= minSecret {
			return n
		}
		return 0
	})
}

// withoutBlind replaces what an HTML page does not show: comments, scripts, styles, the head.
func withoutBlind(page string) string {
	return replace(page, " ", func(rest string) int {
		if rest[0] != '<' {
			return 0
		}
		if strings.HasPrefix(rest, "<!--") {
			if end := strings.Index(rest[4:], "-->"); end >= 0 {
				return 4 + end + 3
			}
			return 0
		}
		name := blindName(rest[1:])
		if name == 0 || span(rest[1+name:min(len(rest), 2+name)], "_") > 0 { // another element
			return 0
		}
		for i := 1 + name; i < len(rest); i++ {
			if n := closing(rest[i:]); n > 0 {
				return i + n
			}
		}
		return 0
	})
}

// withoutTags replaces the tags of an HTML page.
func withoutTags(page string) string {
	return replace(page, " ", func(rest string) int {
		if rest[0] != '<' {
			return 0
		}
		return strings.IndexByte(rest, '>') + 1
	})
}

// closing returns the length of an end tag of what is not shown, 0 when there is none.
func closing(rest string) int {
	if !strings.HasPrefix(rest, "</") {
		return 0
	}
	n := blindName(rest[2:])
	if n == 0 {
		return 0
	}
	after := strings.TrimLeft(rest[2+n:], "\t\n\f\r ")
	if !strings.HasPrefix(after, ">") {
		return 0
	}
	return len(rest) - len(after) + 1
}

// blindName returns the length of the name at the beginning of rest if what it names is
// not shown.
func blindName(rest string) int {
	for _, name := range []string{"script", "style", "head"} {
		if len(rest) >= len(name) && strings.EqualFold(rest[:len(name)], name) {
			return len(name)
		}
	}
	return 0
}

// replace replaces what match finds, from left to right. match returns how many bytes at
// the beginning of rest are to go.
func replace(text, with string, match func(rest string) int) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if n := match(text[i:]); n > 0 {
			b.WriteString(with)
			i += n
			continue
		}
		b.WriteByte(text[i])
		i++
	}
	return b.String()
}

// span counts the letters and digits of ASCII, and others, at the beginning of text.
func span(text, others string) int {
	for i := range len(text) {
		c := text[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && strings.IndexByte(others, c) < 0 {
			return i
		}
	}
	return len(text)
}
