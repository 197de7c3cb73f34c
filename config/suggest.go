package config

import "strings"

// maxSuggest bounds the length of a name that suggestions are sought for.
const maxSuggest = 80

// maxEdits bounds how far a suggestion is from the name: beyond it is guessing.
const maxEdits = 3

// suggest returns the candidate nearest to a misspelt name, or "" when none is near.
func suggest(name string, candidates []string) string {
	if len(name) > maxSuggest {
		return ""
	}
	name = strings.ToLower(name)
	best, least := "", min(max(1, len(name)/3), maxEdits)+1
	for _, c := range candidates {
		if d := distance(name, strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the edits (insert, delete, replace, swap of neighbours) that
// lead from a to b.
func distance(a, b string) int {
	before, prev := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev = prev, row
	}
	return prev[len(b)]
}

// didYouMean words the mend for an unknown key: the nearest sibling, or a key
// elsewhere with the same last part.
func didYouMean(prefix, name string) string {
	if section, rest, dotted := strings.Cut(name, "."); dotted && prefix == "" && isSection(section) {
		return "write " + section + ": and below it, indented, " + rest
	}
	if s := suggest(name, childrenOf(prefix)); s != "" {
		return "did you mean " + join(prefix, s) + "?"
	}
	for _, f := range fields {
		if f.last() == name || strings.HasSuffix(f.key, "."+name) {
			return "did you mean " + strings.ReplaceAll(f.key, "*", "<name>") + "?"
		}
	}
	return "remove it; `redoxworker config schema` lists every key"
}

// childrenOf returns the names that may stand directly below a section.
func childrenOf(prefix string) []string {
	below := generic(join(prefix, "x.x"))
	below = strings.TrimSuffix(below, "x.x")
	var out []string
	seen := map[string]bool{}
	for _, f := range fields {
		rest, ok := strings.CutPrefix(f.key, below)
		if !ok {
			continue
		}
		child, _, _ := strings.Cut(rest, ".")
		if !seen[child] {
			seen[child] = true
			out = append(out, child)
		}
	}
	return out
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
