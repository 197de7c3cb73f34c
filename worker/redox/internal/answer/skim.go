package answer

import (
	"github.com/go-json-experiment/json/jsontext"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// skim reads the usual answer, which tells of no error, in one quick pass. It is false for
// all others, and for what is not plain: see the skim of an envelope.
func (f *Findings) skim(body []byte) bool {
	end := jsonscan.SkimMembers(body, jsonscan.SkipSpace(body, 0), func(name []byte, from int) int {
		switch string(name) {
		case `"Meta"`:
			return f.skimMeta(body, from)
		case `"Errors"`, `"resourceType"`, `"issue"`, `"issues"`, `"Issues"`, `"entry"`:
			return jsonscan.Failed
		}
		return jsonscan.SkipValue(body, from, 1)
	})
	if end < 0 || jsonscan.SkipSpace(body, end) != len(body) {
		*f = Findings{}
		return false
	}
	return true
}

// depthInAnswer is more than the depth of what is skipped there.
const depthInAnswer = 4

func (f *Findings) skimMeta(b []byte, from int) int {
	f.Meta = true // or it is no object, and the skim fails
	return jsonscan.SkimMembers(b, from, func(name []byte, from int) int {
		switch string(name) {
		case `"Logs"`:
			return jsonscan.SkimElements(b, from, func(from int) int { return f.skimLog(b, from) })
		case `"Errors"`:
			return jsonscan.Failed
		}
		return jsonscan.SkipValue(b, from, depthInAnswer)
	})
}

func (f *Findings) skimLog(b []byte, from int) int {
	return jsonscan.SkimMembers(b, from, func(name []byte, from int) int {
		end := jsonscan.SkipValue(b, from, depthInAnswer)
		if end >= 0 && string(name) == `"ID"` {
			f.addLog(jsonscan.Scalar(jsontext.Value(b[from:end])))
		}
		return end
	})
}
