package redox

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

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
		var more bool
		if i, more = skipComma(b, skipValue(b, skipSpace(b, i+1), depth+1), '}'); !more {
			return i
		}
	}
}

func skipArray(b []byte, i, depth int) int {
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		var more bool
		if i, more = skipComma(b, skipValue(b, i, depth+1), ']'); !more {
			return i
		}
	}
}

// skipComma takes the index behind a member or element and answers that of the next, or,
// when there are no more, that behind the object or array.
func skipComma(b []byte, i int, closing byte) (next int, more bool) {
	i = skipSpace(b, i)
	switch {
	case uint(i) >= uint(len(b)):
		return failed, false
	case b[i] == ',':
		return skipSpace(b, i+1), true
	case b[i] == closing:
		return i + 1, false
	}
	return failed, false
}

// skimMembers reads an object. For each of its members read is told the name, quotes
// included, and where the value begins, and answers where it ends.
func skimMembers(b []byte, i int, read func(name []byte, from int) int) int {
	if uint(i) >= uint(len(b)) || b[i] != '{' {
		return failed
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		name := i
		if i = skipString(b, i); i < 0 || hasEscape(b[name:i]) {
			return failed
		}
		end := i
		if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
			return failed
		}
		if i = skipSpace(b, i+1); i >= len(b) {
			return failed
		}
		var more bool
		if i, more = skipComma(b, read(b[name:end], i), '}'); !more {
			return i
		}
	}
}

// skimElements reads an array. For each of its elements read is told where it begins, and
// answers where it ends.
func skimElements(b []byte, i int, read func(from int) int) int {
	if uint(i) >= uint(len(b)) || b[i] != '[' {
		return failed
	}
	if i = skipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i >= len(b) {
			return failed
		}
		var more bool
		if i, more = skipComma(b, read(i), ']'); !more {
			return i
		}
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
		for rest := b[i:]; len(rest) >= 8; rest = rest[8:] {
			special := specialBytes(binary.LittleEndian.Uint64(rest))
			if special != 0 {
				i += bits.TrailingZeros64(special) / 8
				break
			}
			i += 8
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

// specialBytes marks the highest bit of bytes that a JSON string may not hold as they are,
// or that take a closer look: quote and backslash, control characters, and what is no
// ASCII. The lowest mark is right; behind it there may be wrong ones.
func specialBytes(word uint64) uint64 {
	const each, highs = 0x0101010101010101, 0x8080808080808080
	low := (word ^ each*0x02) - each*0x21 // with that bit changed, the quote is 0x20, and next to the controls
	backslash := (word ^ each*'\\') - each
	return (low | backslash | word) & highs
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
