package wire

import "strconv"

// Position is what a replay says, as far as it can be: before itself. Anything else is
// where the message is stored.
func Position(replayOf, header string, sequence uint64) uint64 {
	if replayOf == "" || header == "" {
		return sequence
	}
	n, err := strconv.ParseUint(header, 10, 64)
	if err != nil || n == 0 || n > sequence {
		return sequence
	}
	return n
}

// Behind is the position before another in the order of a token: what a replay says, or else
// all before it.
func Behind(replayOf, header string, position uint64) uint64 {
	all := max(position, 1) - 1
	if replayOf == "" || header == "" {
		return all
	}
	n, err := strconv.ParseUint(header, 10, 64)
	if err != nil || n > all {
		return all
	}
	return n
}
