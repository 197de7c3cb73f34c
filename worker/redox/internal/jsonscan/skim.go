package jsonscan

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Failed is what the Skip and Skim functions answer that find no plain text. They take the index
// at which something begins and answer that behind its end. Given Failed, they fail.
const Failed = -1

// maxSkimDepth bounds the recursion; real messages nest some ten levels.
const maxSkimDepth = 200

// SkipSpace skips white space.
func SkipSpace(b []byte, i int) int {
	if uint(i) < uint(len(b)) && b[i] > ' ' { // inlined: most texts have none
		return i
	}
	return SkipSpaces(b, i)
}

// SkipSpaces is SkipSpace, for texts that have some.
func SkipSpaces(b []byte, i int) int {
	for uint(i) < uint(len(b)) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// SkipValue skips a value of any kind at a depth of nesting.
func SkipValue(b []byte, i, depth int) int {
	if uint(i) >= uint(len(b)) || depth > maxSkimDepth {
		return Failed
	}
	switch b[i] {
	case '"':
		return SkipString(b, i)
	case '{':
		return skipObject(b, i, depth)
	case '[':
		return skipArray(b, i, depth)
	case 't':
		return SkipLiteral(b, i, "true")
	case 'f':
		return SkipLiteral(b, i, "false")
	case 'n':
		return SkipLiteral(b, i, "null")
	}
	return skipNumber(b, i)
}

func skipObject(b []byte, i, depth int) int {
	if i = SkipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		i = SkipSpace(b, SkipString(b, i))
		if uint(i) >= uint(len(b)) || b[i] != ':' {
			return Failed
		}
		var more bool
		if i, more = skipComma(b, SkipValue(b, SkipSpace(b, i+1), depth+1), '}'); !more {
			return i
		}
	}
}

func skipArray(b []byte, i, depth int) int {
	if i = SkipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		var more bool
		if i, more = skipComma(b, SkipValue(b, i, depth+1), ']'); !more {
			return i
		}
	}
}

// skipComma takes the index behind a member or element and answers that of the next, or,
// when there are no more, that behind the object or array.
func skipComma(b []byte, i int, closing byte) (next int, more bool) {
	i = SkipSpace(b, i)
	switch {
	case uint(i) >= uint(len(b)):
		return Failed, false
	case b[i] == ',':
		return SkipSpace(b, i+1), true
	case b[i] == closing:
		return i + 1, false
	}
	return Failed, false
}

// SkimMembers reads an object. For each of its members read is told the name, quotes
// included, and where the value begins, and answers where it ends.
func SkimMembers(b []byte, i int, read func(name []byte, from int) int) int {
	if uint(i) >= uint(len(b)) || b[i] != '{' {
		return Failed
	}
	if i = SkipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1
	}
	for {
		name := i
		if i = SkipString(b, i); i < 0 || hasEscape(b[name:i]) {
			return Failed
		}
		end := i
		if i = SkipSpace(b, i); i >= len(b) || b[i] != ':' {
			return Failed
		}
		if i = SkipSpace(b, i+1); i >= len(b) {
			return Failed
		}
		var more bool
		if i, more = skipComma(b, read(b[name:end], i), '}'); !more {
			return i
		}
	}
}

// SkimElements reads an array. For each of its elements read is told where it begins, and
// answers where it ends.
func SkimElements(b []byte, i int, read func(from int) int) int {
	if uint(i) >= uint(len(b)) || b[i] != '[' {
		return Failed
	}
	if i = SkipSpace(b, i+1); i < len(b) && b[i] == ']' {
		return i + 1
	}
	for {
		if i >= len(b) {
			return Failed
		}
		var more bool
		if i, more = skipComma(b, read(i), ']'); !more {
			return i
		}
	}
}

// SkipLiteral skips literal.
func SkipLiteral(b []byte, i int, literal string) int {
	if len(b)-i < len(literal) || string(b[i:i+len(literal)]) != literal {
		return Failed
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
		return Failed
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return Failed
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
		return Failed
	}
	return i
}

// SkipString reads eight bytes at a time as long as they are plain ASCII.
func SkipString(b []byte, i int) int {
	if uint(i) >= uint(len(b)) || b[i] != '"' {
		return Failed
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
			return Failed
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i = skipEscape(b, i); i < 0 {
				return Failed
			}
		case c < ' ':
			return Failed
		case c < utf8.RuneSelf:
			i++
		default:
			r, size := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && size == 1 {
				return Failed
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
		return Failed
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
	default:
		return Failed
	}
	if len(b)-i < 6 {
		return Failed
	}
	for _, c := range b[i+2 : i+6] {
		if !IsHex(c) {
			return Failed
		}
	}
	if b[i+2]|0x20 == 'd' && b[i+3] >= '8' { // a surrogate, perhaps half of a pair
		return Failed
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
