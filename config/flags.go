package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const onCommandLine = "command line"

// readFlags reads the settings of the command line, by dotted key.
func readFlags(flags map[string]any) *layer {
	l := newLayer()
	for _, key := range slices.Sorted(maps.Keys(flags)) {
		_, ok := fieldOf(key)
		if ok && !validPath(key) {
			l.problem(key, onCommandLine, "has a bad name after "+key[:strings.Index(key, ".")], nameMend)
			continue
		}
		if !ok {
			prefix, name := "", key
			if i := strings.LastIndex(key, "."); i >= 0 {
				prefix, name = key[:i], key[i+1:]
			}
			l.problem(key, onCommandLine, "unknown key", didYouMean(prefix, name))
			continue
		}
		value, ok := flagValue(flags[key])
		if !ok {
			l.problem(key, onCommandLine, fmt.Sprintf("has a value of type %T", flags[key]), "give text, a number, true or false, or a list")
			continue
		}
		l.set(key, value, onCommandLine)
	}
	return l
}

// validPath reports whether a key of keys or sources has a proper name in it.
func validPath(key string) bool {
	parts := strings.Split(key, ".")
	return !isMap(parts[0]) || (len(parts) > 2 && checkName(parts[1]) == nil)
}

// flagValue turns what a flag parser makes into what a layer holds.
func flagValue(v any) (any, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []string:
		return slices.Clone(v), true
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case time.Duration:
		return formatDuration(v), true
	}
	return nil, false
}
