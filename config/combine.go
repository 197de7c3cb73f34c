package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Set is a configuration together with the sources and keys of other places. It is never
// changed.
type Set struct {
	// Config has the keys and sources of all parts besides those of the main file. Origin says
	// where each comes from.
	Config *Config
	// Refused lists what could not be used, in the order of the parts.
	Refused []Refusal
	// Warnings lists what is unwise but not wrong, about all parts.
	Warnings []Problem

	good map[string]Part // the last state of each part that could be used
	from map[string]string
}

// Refusal is what is wrong with a part.
type Refusal struct {
	Part     string    // its name
	Kept     bool      // whether an earlier state of it is in use, as far as that goes
	Problems []Problem // at least one
}

// From returns the name of the part that a source comes from; "" for the main file.
func (s *Set) From(source string) string { return s.from["sources."+source] }

// Combine adds the parts to the main file c. Where two have the same name, the main file wins, then the
// earlier part. The name in the other part is refused; the rest of that part is not, except for sources
// that use a key whose name is taken by a key of another file, with which they are never sent. A part that
// cannot be used, by itself or beside the others, keeps the state in which it was used last, as before has
// it; before is the last Set, or nil. What is gone from the parts is gone from the set. Combine has no
// side effects, and the same parts give the same set in every process that has seen the same ones before.
//
// A source of the main file uses a key of the main file, any other a key of any file.
//
// unusable returns, by key, why no credentials can be made of it; nil if that is not known.
func Combine(c *Config, parts []Part, before *Set, unusable func(*Config) map[string]error) *Set {
	m := &merger{config: c, unusable: unusable, parts: slices.Clone(parts), good: make(map[string]Part, len(parts)), level: make([]level, len(parts)), problems: make(map[string][]Problem)}
	for i, p := range parts {
		if before != nil {
			if last, ok := before.good[p.Name]; ok {
				m.good[p.Name] = last
			}
		}
		if len(p.Problems) > 0 {
			m.refuse(p.Name, p.Problems)
			m.lower(i)
		}
	}
	s := m.merge()
	for s == nil {
		s = m.merge()
	}
	for i, p := range m.parts {
		// A name that another part has was not tried.
		untried := m.doubles[p.Name]
		if _, before := m.good[p.Name]; m.level[i] == fresh && (len(untried) == 0 || !before) {
			m.good[p.Name] = p.lacking(untried)
		}
	}
	for i, p := range parts {
		if problems := append(m.problems[p.Name], m.doubles[p.Name]...); len(problems) > 0 {
			_, kept := m.good[p.Name]
			s.Refused = append(s.Refused, Refusal{Part: p.Name, Kept: kept && m.level[i] != fresh, Problems: problems})
		}
	}
	s.good = m.good
	return s
}

// merger looks for states of the parts that go together.
type merger struct {
	config   *Config
	unusable func(*Config) map[string]error
	parts    []Part // the states that are tried now
	level    []level
	good     map[string]Part
	problems map[string][]Problem // by part
	doubles  map[string][]Problem // by part: names that others have, among the present states
}

// level says which state of a part is tried.
type level int

const (
	fresh  level = iota // what it says now
	former              // its last good state, or nothing where there is none
	torn                // the entries of that which fit
)

func (m *merger) refuse(part string, problems []Problem) {
	for _, p := range problems {
		if !slices.Contains(m.problems[part], p) {
			m.problems[part] = append(m.problems[part], p)
		}
	}
}

// lower tries the last good state of a part, or nothing.
func (m *merger) lower(i int) {
	m.level[i] = former
	last, ok := m.good[m.parts[i].Name]
	if !ok {
		last = Part{Name: m.parts[i].Name}
	}
	m.parts[i] = last
}

// merge makes the set of the present states. It returns nil where some did not fit, and others
// are to be tried.
func (m *merger) merge() *Set {
	c, from := *m.config, make(map[string]string)
	c.Keys, c.Sources = owned(c.Keys), owned(c.Sources)
	c.meta.origins, c.meta.files = owned(c.meta.origins), slices.Clone(c.meta.files)
	warnings := m.config.Warnings()
	// Of two sources that exclude each other the later of this order is to blame: one that changed
	// rather than one that did not.
	order, changed := slices.Sorted(maps.Keys(c.Sources)), []string(nil)
	m.doubles = make(map[string][]Problem)
	for _, p := range m.parts {
		taken := m.take(p, &c, from)
		for name := range taken {
			from[name] = p.Name
		}
		for key, place := range p.where {
			if taken[entryOf(key)] {
				c.meta.origins[key] = place
			}
		}
		names := &order
		if last, ok := m.good[p.Name]; !ok || !reflect.DeepEqual(p.Sources, last.Sources) {
			names = &changed
		}
		for _, name := range slices.Sorted(maps.Keys(p.Sources)) {
			if taken["sources."+name] {
				*names = append(*names, name)
			}
		}
		c.meta.files, warnings = append(c.meta.files, p.files...), append(warnings, p.Warnings...)
	}
	l := &loader{skip: c.meta.skip, where: c.meta.origins, unbounded: true}
	l.checkTogether(&c, append(order, changed...))
	if m.degrade(l.problems, from) || m.unusable != nil && m.degrade(l.unusableKeys(m.unusable(&c)), from) {
		return nil
	}
	slices.Sort(c.meta.files)
	c.meta.files, c.meta.warnings = slices.Compact(c.meta.files), append(warnings, l.warnings...)
	return &Set{Config: &c, from: from, Warnings: c.Warnings()}
}

// unusableKeys are problems of keys.
func (l *loader) unusableKeys(why map[string]error) (problems []Problem) {
	for _, name := range slices.Sorted(maps.Keys(why)) {
		key := "keys." + name
		problems = append(problems, Problem{Key: key, Text: "cannot be used: " + why[name].Error(), Where: l.place(key)})
	}
	return problems
}

// owned is a copy that may be changed.
func owned[V any](m map[string]V) map[string]V {
	if m == nil {
		return make(map[string]V)
	}
	return maps.Clone(m)
}

// take adds the entries of a part, but for names that are there already, and returns those
// it added.
func (m *merger) take(p Part, c *Config, from map[string]string) map[string]bool {
	taken := make(map[string]bool, len(p.Keys)+len(p.Sources))
	strange := make(map[string]bool) // keys of the part in whose place stands another's
	for _, name := range slices.Sorted(maps.Keys(p.Keys)) {
		if other, there := c.Keys[name]; there {
			m.double(p, "keys."+name, from)
			strange[name] = !equalKeys(other, p.Keys[name])
			continue
		}
		c.Keys[name], taken["keys."+name] = p.Keys[name], true
	}
	for _, name := range slices.Sorted(maps.Keys(p.Sources)) {
		if _, there := c.Sources[name]; there {
			m.double(p, "sources."+name, from)
			continue
		}
		if key := p.Sources[name].Key; strange[key] {
			m.doubles[p.Name] = append(m.doubles[p.Name], Problem{Key: "sources." + name + ".key", Text: "names keys." + key + " of its file, and another file has that name for a key of its own",
				Mend: "give the key a name that no other has", Where: p.where["sources."+name]})
			continue
		}
		c.Sources[name], taken["sources."+name] = p.Sources[name], true
	}
	return taken
}

func (m *merger) double(p Part, entry string, from map[string]string) {
	winner := from[entry]
	if winner == "" {
		winner = "the main file"
	}
	m.doubles[p.Name] = append(m.doubles[p.Name], Problem{Key: entry, Text: "is also in " + winner + ", which wins", Mend: "keep one of the two", Where: p.where[entry]})
}

// degrade tries other states of the parts that problems name, and reports whether there were
// any. Where no earlier state of a part fits either, the entries that do not are left out.
func (m *merger) degrade(problems []Problem, from map[string]string) bool {
	blamed := make(map[string][]Problem)
	for _, p := range problems {
		if part := from[entryOf(p.Key)]; part != "" {
			blamed[part] = append(blamed[part], p)
		}
	}
	for i, p := range m.parts {
		found := blamed[p.Name]
		switch {
		case found == nil:
			continue
		case m.level[i] == fresh:
			m.lower(i)
		default:
			m.parts[i], m.level[i] = p.lacking(found), torn
		}
		m.refuse(p.Name, found)
	}
	return len(blamed) > 0
}

// lacking is the part without the entries that problems name.
func (p Part) lacking(problems []Problem) Part {
	if len(problems) == 0 {
		return p
	}
	p.Keys, p.Sources = maps.Clone(p.Keys), maps.Clone(p.Sources)
	for _, problem := range problems {
		section, name, _ := strings.Cut(entryOf(problem.Key), ".")
		if section == "keys" {
			delete(p.Keys, name)
		} else {
			delete(p.Sources, name)
		}
	}
	return p
}

// checkTogether finds what does not go together in several places. names are those of the
// sources: of two that exclude each other the later is to blame.
func (l *loader) checkTogether(c *Config, names []string) {
	for _, name := range names {
		l.checkSource(c, "sources."+name, c.Sources[name])
	}
	l.checkUse(c, names)
	l.checkSourceIDs(c, names)
}
