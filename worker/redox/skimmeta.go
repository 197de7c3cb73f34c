package redox

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// skim checks in one quick pass that body is one JSON object in UTF-8 and reads its Meta.
// The decoder of package jsonscan does the same, and takes almost twice as long: for messages of
// 20 KB that would be a tenth of a busy worker's processor time.
//
// It is false for all that is not plain: broken JSON and broken messages, but also escapes
// in names, deep nesting, lone surrogates. Then it has decided nothing, and e is worth
// nothing: the decoder reads the body from the start and has the last word.
func (e *envelope) skim(body []byte) bool {
	end := jsonscan.SkimMembers(body, jsonscan.SkipSpace(body, 0), func(name []byte, from int) int {
		if string(name) != `"Meta"` {
			return jsonscan.SkipValue(body, from, 1)
		}
		if !e.first(memberMeta) {
			return jsonscan.Failed
		}
		return e.skimMeta(body, from)
	})
	return end >= 0 && e.seen&memberMeta != 0 && jsonscan.SkipSpace(body, end) == len(body)
}

// depthInMeta is more than the depth of what is skipped there.
const depthInMeta = 4

func (e *envelope) skimMeta(b []byte, from int) int {
	e.gap = gap{from + 1, from + 1, gapEmptyMeta}
	return jsonscan.SkimMembers(b, from, func(name []byte, from int) int {
		if e.gap.kind == gapEmptyMeta {
			e.gap.kind = gapNoSource
		}
		m := metaMember(name)
		if m == 0 {
			return jsonscan.SkipValue(b, from, depthInMeta)
		}
		if !e.first(m) {
			return jsonscan.Failed
		}
		switch m {
		case memberDataModel:
			return skimText(b, from, &e.dataModel)
		case memberEventType:
			return skimText(b, from, &e.eventType)
		case memberTest:
			return e.skimTest(b, from)
		case memberSource:
			return e.skimSource(b, from)
		default:
			return e.skimDestinations(b, from)
		}
	})
}

func metaMember(name []byte) member {
	switch string(name) {
	case `"DataModel"`:
		return memberDataModel
	case `"EventType"`:
		return memberEventType
	case `"Test"`:
		return memberTest
	case `"Source"`:
		return memberSource
	case `"Destinations"`:
		return memberDestinations
	}
	return 0
}

// skimText reads a string, or null, which is as good as absent, into v.
func skimText(b []byte, from int, v *jsontext.Value) int {
	if b[from] == 'n' {
		return jsonscan.SkipLiteral(b, from, "null")
	}
	end := jsonscan.SkipString(b, from)
	if end > from+len(`""`) {
		*v = b[from:end:end]
	}
	return end
}

func (e *envelope) skimTest(b []byte, from int) int {
	switch b[from] {
	case 't':
		e.test = true
		return jsonscan.SkipLiteral(b, from, "true")
	case 'f':
		return jsonscan.SkipLiteral(b, from, "false")
	}
	return jsonscan.SkipLiteral(b, from, "null")
}

func (e *envelope) skimSource(b []byte, from int) int {
	if b[from] == 'n' {
		end := jsonscan.SkipLiteral(b, from, "null")
		e.gap = gap{from, end, gapNullSource}
		return end
	}
	e.gap = gap{from + 1, from + 1, gapEmptySource}
	return jsonscan.SkimMembers(b, from, func(name []byte, from int) int {
		if string(name) != `"ID"` {
			if e.gap.kind == gapEmptySource {
				e.gap.kind = gapNoID
			}
			return jsonscan.SkipValue(b, from, depthInMeta)
		}
		if !e.first(memberSourceID) {
			return jsonscan.Failed
		}
		end := skimText(b, from, &e.sourceID)
		if e.gap = (gap{}); e.sourceID == nil {
			e.gap = gap{from, end, gapEmptyID}
		}
		return end
	})
}

func (e *envelope) skimDestinations(b []byte, i int) int {
	if b[i] == 'n' {
		return jsonscan.SkipLiteral(b, i, "null")
	}
	return jsonscan.SkimElements(b, i, func(from int) int { return e.skimDestination(b, from) })
}

// skimDestination counts one that has an ID or a name.
func (e *envelope) skimDestination(b []byte, from int) int {
	if b[from] != '{' {
		return jsonscan.SkipValue(b, from, depthInMeta)
	}
	named := false
	end := jsonscan.SkimMembers(b, from, func(name []byte, from int) int {
		end := jsonscan.SkipValue(b, from, depthInMeta)
		if end <= from+len(`""`) || b[from] != '"' {
			return end
		}
		id := string(name) == `"ID"`
		if named = named || id || string(name) == `"Name"`; id && e.destinationID == nil {
			e.destinationID = b[from:end]
		}
		return end
	})
	if named {
		e.destinations++
	}
	return end
}
