package redox

import "github.com/go-json-experiment/json/jsontext"

// skim reads the usual answer, which tells of no error, in one quick pass. It is false for
// all others, and for what is not plain: see the skim of an envelope.
func (f *findings) skim(body []byte) bool {
	end := skimMembers(body, skipSpace(body, 0), func(name []byte, from int) int {
		switch string(name) {
		case `"Meta"`:
			return f.skimMeta(body, from)
		case `"Errors"`, `"resourceType"`, `"issue"`, `"entry"`:
			return failed
		}
		return skipValue(body, from, 1)
	})
	if end < 0 || skipSpace(body, end) != len(body) {
		*f = findings{}
		return false
	}
	return true
}

func (f *findings) skimMeta(b []byte, from int) int {
	return skimMembers(b, from, func(name []byte, from int) int {
		switch string(name) {
		case `"Logs"`:
			return skimElements(b, from, func(from int) int { return f.skimLog(b, from) })
		case `"Errors"`:
			return failed
		}
		return skipValue(b, from, depthInMeta)
	})
}

func (f *findings) skimLog(b []byte, from int) int {
	return skimMembers(b, from, func(name []byte, from int) int {
		end := skipValue(b, from, depthInMeta)
		if end >= 0 && string(name) == `"ID"` {
			f.addLog(scalar(jsontext.Value(b[from:end])))
		}
		return end
	})
}
