package redox

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// findMeta checks in one quick pass that body is one JSON object in UTF-8 and finds the
// value of its member Meta, which must be an object and there once. The decoder of
// scanner.go does the same at half the speed: for messages of 20 KB that was a fifth of a
// busy worker's processor time.
//
// ok is false for all that is not plain: broken JSON, but also escapes in names, deep
// nesting, lone surrogates. It decides nothing; the decoder then reads the body from the
// start and has the last word.
func findMeta(body []byte) (start, end int, ok bool) {
	i := skipSpace(body, 0)
	if i >= len(body) || body[i] != '{' {
		return 0, 0, false
	}
	for i = skipSpace(body, i+1); ; i = skipSpace(body, i+1) {
		name := i
		i = skipString(body, i)
		if i < 0 || hasEscape(body[name:i]) {
			return 0, 0, false
		}
		isMeta := string(body[name:i]) == `"Meta"`
		if i = skipSpace(body, i); i >= len(body) || body[i] != ':' {
			return 0, 0, false
		}
		from := skipSpace(body, i+1)
		if i = skipValue(body, from, 1); i < 0 {
			return 0, 0, false
		}
		if isMeta {
			if ok || body[from] != '{' {
				return 0, 0, false
			}
			start, end, ok = from, i, true
		}
		if i = skipSpace(body, i); i >= len(body) {
			return 0, 0, false
		}
		switch body[i] {
		case ',':
			continue
		case '}':
			return start, end, ok && skipSpace(body, i+1) == len(body)
		}
		return 0, 0, false
	}
}

// The functions below take the index at which something begins and answer that behind its
// end, or failed. Given failed, they fail.
const failed = -1

// maxSkimDepth bounds the recursion; real messages nest some ten levels.
const maxSkimDepth = 200

func skipSpace(b []byte, i int) int {
	if uint(i) < uint(len(b)) && b[i] > ' ' { // inlined: most texts have none
		return i
	}
	return skipSpaces(b, i)
}

func skipSpaces(b []byte, i int) int {
	for uint(i) < uint(len(b)) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

func skipValue(b []byte, i, depth int) int {
	if uint(i) >= uint(len(b)) || depth > maxSkimDepth {
		return failed
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{':
		return skipObject(b, i, depth)
	case '[':
		return skipArray(b, i, depth)
	case 't':
		return skipLiteral(b, i, "true")
	case 'f':
		return skipLiteral(b, i, "false")
	case 'n':
		return skipLiteral(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipObject(b []byte, i, depth int) int {
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		i = skipSpace(b, skipString(b, i))
		if uint(i) >= uint(len(b)) || b[i] != ':' {
			return failed
		}
		i = skipSpace(b, skipValue(b, skipSpace(b, i+1), depth+1))
		if uint(i) >= uint(len(b)) {
			return failed
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
			continue
		case '}':
			return i + 1
		}
		return failed
	}
}

func skipArray(b []byte, i, depth int) int {
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		i = skipSpace(b, skipValue(b, i, depth+1))
		if uint(i) >= uint(len(b)) {
			return failed
		}
		switch b[i] {
		case ',':
			i = skipSpace(b, i+1)
			continue
		case ']':
			return i + 1
		}
		return failed
	}
}

func skipLiteral(b []byte, i int, literal string) int {
	if len(b)-i < len(literal) || string(b[i:i+len(literal)]) != literal {
		return failed
	}
	return i + len(literal)
}

// skipNumber follows RFC 8259, section 6.
func skipNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = skipDigits(b, i); i < 0 {
		return failed
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return failed
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i = skipDigits(b, i)
	}
	return i
}

func skipDigits(b []byte, i int) int {
	from := i
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	if i == from {
		return failed
	}
	return i
}

// skipString reads eight bytes at a time as long as they are plain ASCII.
func skipString(b []byte, i int) int {
	if uint(i) >= uint(len(b)) || b[i] != '"' {
		return failed
	}
	for i++; ; {
		for len(b)-i >= 8 {
			n := plainBytes(binary.LittleEndian.Uint64(b[i:]))
			if i += n; n < 8 {
				break
			}
		}
		if i >= len(b) {
			return failed
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = skipEscape(b, i); i < 0 {
				return failed
			}
		case c < ' ':
			return failed
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return failed
			}
			i += size
		}
	}
}

// plainBytes counts the bytes, from the lowest on, that a JSON string may hold as they
// are: ASCII from the space on, but neither quote nor backslash.
func plainBytes(word uint64) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	zero := func(w uint64) uint64 { return (w - ones) &^ w & highs } // exact up to the first hit
	special := word&highs | (word-ones*' ')&^word&highs | zero(word^ones*'"') | zero(word^ones*'\\')
	return bits.TrailingZeros64(special) / 8
}

func skipEscape(b []byte, i int) int {
	if len(b)-i < 2 {
		return failed
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
	default:
		return failed
	}
	if len(b)-i < 6 {
		return failed
	}
	for _, c := range b[i+2 : i+6] {
		if ('0' > c || c > '9') && ('a' > c|0x20 || c|0x20 > 'f') {
			return failed
		}
	}
	if b[i+2]|0x20 == 'd' && b[i+3] >= '8' { // a surrogate, perhaps half of a pair
		return failed
	}
	return i + 6
}

func hasEscape(b []byte) bool {
	for _, c := range b {
		if c == '\\' {
			return true
		}
	}
	return false
}
