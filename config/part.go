package config

import (
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
)

// Part is one file of sources_dir, or one entry of the registry. What it says counts as a whole
// or not at all. It is never changed.
type Part struct {
	Name     string            // of the file or the entry, as people know it
	Keys     map[string]Key    // of a file alone
	Sources  map[string]Source // nil where there are Problems
	Problems []Problem         // why it cannot be used; nil for none
	Warnings []Problem         // what is unwise, and not wrong

	where map[string]string // dotted key or section: the place that set it
	files []string          // that it was read from, or names
	sum   [sha256.Size]byte // of the text, where that alone decides
}

// SourcePart makes a part of one source that is in no file, with defaults filled in and checked
// like one of a file. part is what problems call its place.
func SourcePart(part, name string, s Source) Part {
	l := newLayer()
	values := map[string]any{"id": s.ID, "key": s.Key, "environment": s.Environment, "slug_guard": s.SlugGuard, "on_unknown": s.OnUnknown, "hold": s.Hold}
	if checkName(name) != nil {
		l.problem("sources", part, shown(name)+" is not a name", nameMend)
	} else {
		for field, value := range values {
			if list, isList := value.([]string); value != "" && (!isList || len(list) > 0) {
				l.set("sources."+name+"."+field, value, part)
			}
		}
		l.where["sources."+name] = part
		l.entries = append(l.entries, "sources."+name)
	}
	return partOf(part, l, newLayer(), &Config{}, Options{Skip: PartKeys})
}

// partOf decodes and checks a layer, with what the environment says about its entries. What
// needs a look at other parts is left to Combine.
func partOf(name string, over, environ *layer, main *Config, o Options) Part {
	l := &loader{
		skip: o.Skip, file: name, credentials: variable(o.Environ, envCredentials), merged: map[string]any{},
		where: map[string]string{}, failed: map[string]bool{}, files: map[string]bool{},
	}
	l.add(over)
	l.add(environ)
	p := Part{Name: name, where: l.where}
	if !over.broken && len(over.problems) == 0 {
		c := &Config{Redox: main.Redox}
		l.decodeEntries(c)
		l.deriveEntries(c)
		l.checkKeyEntries(c)
		l.skip |= PartKeys // which keys there are is not known yet
		for _, source := range slices.Sorted(maps.Keys(c.Sources)) {
			l.checkSource(c, "sources."+source, c.Sources[source])
		}
		p.Keys, p.Sources = c.Keys, c.Sources
	}
	p.Problems, p.Warnings, p.files = l.problems, l.warnings, slices.Sorted(maps.Keys(l.files))
	if len(p.Problems) > 0 {
		p.Keys, p.Sources = nil, nil
	}
	return p
}

// entriesOf is what a layer says about the entries of another.
func (l *layer) entriesOf(other *layer) *layer {
	out := newLayer()
	for key, value := range l.values {
		if slices.Contains(other.entries, entryOf(key)) {
			out.values[key], out.where[key] = value, l.where[key]
		}
	}
	return out
}

// without removes what the layer says about entries.
func (l *layer) without(entries map[string]bool) {
	gone := func(key string) bool { return entries[entryOf(key)] }
	maps.DeleteFunc(l.values, func(key string, _ any) bool { return gone(key) })
	maps.DeleteFunc(l.where, func(key, _ string) bool { return gone(key) })
	l.entries = slices.DeleteFunc(l.entries, gone)
}

// entryOf is the entry of keys or sources that a key is of: keys.main of keys.main.kid.
func entryOf(key string) string {
	parts := strings.SplitN(key, ".", 3)
	if len(parts) < 2 || !isMap(parts[0]) {
		return ""
	}
	return parts[0] + "." + parts[1]
}
