package config

import (
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Dir is the content of the files of sources_dir at one moment. It is never changed.
type Dir struct {
	Parts   []Part   // one for each file, in the order of their names
	Problem *Problem // why the directory could not be read: then Parts are those of before
	Files   []string // that were read, or are named by what was, and the directory; sorted
}

// ReadDir reads the directory sources_dir of c: each file in it whose name ends in .yaml or
// .yml and begins with no dot. A file has the sections sources and keys of the main file, or one
// of them; its relative paths are relative to its own directory. o are the options that c
// was loaded with: variables of the environment go over the files, and the flags do not.
//
// A secret must not be in such a file, but in a file that it names, or in the environment. Every
// other setting is fixed while a worker runs, and is refused by name.
//
// before is what ReadDir returned the last time, or nil: files that have not changed since are not
// parsed again. ReadDir only reads, and may be called from many goroutines.
func ReadDir(c *Config, o Options, before *Dir) *Dir {
	if c.SourcesDir == "" {
		return &Dir{}
	}
	known := make(map[string]Part)
	if before == nil {
		before = &Dir{}
	}
	for _, p := range before.Parts {
		known[p.Name] = p
	}
	paths, err := yamlFiles(c.SourcesDir)
	if err != nil {
		return &Dir{Parts: before.Parts, Files: before.Files, Problem: &Problem{
			Key: "sources_dir", Text: "directory " + strconv.Quote(c.SourcesDir) + " " + reason(err),
			Mend: "check the path and who may read it; the sources of before are served on", Where: c.Origin("sources_dir")}}
	}
	d := &Dir{Parts: make([]Part, len(paths))}
	documents := make([]*layer, len(paths))
	for i, path := range paths {
		d.Parts[i], documents[i] = readPart(path, known[path])
	}
	environ := dirEnviron(c, o, documents)
	files := map[string]bool{c.SourcesDir: true}
	for i, over := range documents {
		if over != nil {
			sum := d.Parts[i].sum
			d.Parts[i] = partOf(paths[i], over, environ.entriesOf(over), c, o)
			d.Parts[i].sum = sum
		}
		files[paths[i]] = true
		for _, file := range d.Parts[i].files {
			files[file] = true
		}
	}
	d.Files = slices.Sorted(maps.Keys(files))
	return d
}

// yamlFiles of a directory, sorted. What tools keep beside them begins with a dot: Kubernetes'
// ..data, an editor's copies.
func yamlFiles(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		name := e.Name()
		if ext := filepath.Ext(name); !strings.HasPrefix(name, ".") && (ext == ".yaml" || ext == ".yml") {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths, err
}

// readPart reads a file. The layer is nil where the part says all, as before: one with keys is
// always read anew, as the files that it names may have changed.
func readPart(path string, before Part) (Part, *layer) {
	text, _, err := readSmall(path)
	if err != nil {
		return Part{Name: path, Problems: []Problem{{Text: "file " + strconv.Quote(path) + " " + reason(err), Mend: "check who may read it, or remove it"}}}, nil
	}
	sum := sha256.Sum256(text)
	if before.Name != "" && before.sum == sum && len(before.Keys) == 0 && len(before.Problems) == 0 {
		return before, nil
	}
	over := readDocument(path, text)
	for _, key := range slices.Sorted(maps.Keys(over.values)) {
		f, _ := fieldOf(key)
		switch {
		case f.section() == "":
			over.problem(key, over.where[key], "is fixed while the worker runs, and no setting of a source or a key", "set it in the main file, and start the worker anew")
		case f.kind == kindSecret:
			over.problem(key, over.where[key], "is a secret, and stands in a file of sources", "put it into a file of its own, and name that as "+key+"_file; or set "+envName(key))
		}
	}
	if len(over.entries) == 0 && len(over.problems) == 0 {
		over.problem("", path, "names no source and no key", "remove the file to remove its sources")
	}
	return Part{Name: path, sum: sum}, over
}

// dirEnviron is what the environment says about entries of the directory that are not in the
// main file. What it says about the others is in c.
func dirEnviron(c *Config, o Options, documents []*layer) *layer {
	names := map[string][]string{"keys": slices.Collect(maps.Keys(c.Keys)), "sources": slices.Collect(maps.Keys(c.Sources))}
	main := map[string]bool{}
	for section, all := range names {
		for _, name := range all {
			main[section+"."+name] = true
		}
	}
	for _, over := range documents {
		if over != nil {
			addNames(names, over)
		}
	}
	environ := readEnviron(o.Environ, names)
	environ.without(main)
	return environ
}

func addNames(names map[string][]string, over *layer) {
	for _, entry := range over.entries {
		section, name, _ := strings.Cut(entry, ".")
		names[section] = append(names[section], name)
	}
}

// readOwnEnviron reads our variables, but for those of entries that are in sources_dir alone:
// they are no half entries of the main file.
func (l *loader) readOwnEnviron(o Options, names map[string][]string, flags *layer) *layer {
	ours := readEnviron(o.Environ, names)
	dir := l.dirOf(ours, flags)
	strange := func(key string) bool {
		section, name, _ := strings.Cut(entryOf(key), ".")
		return section != "" && !slices.Contains(names[section], name)
	}
	if dir == "" || !slices.ContainsFunc(slices.Collect(maps.Keys(ours.values)), strange) {
		return ours
	}
	paths, _ := yamlFiles(dir) // what is wrong with it is said where it is decoded
	all := map[string][]string{"keys": slices.Clone(names["keys"]), "sources": slices.Clone(names["sources"])}
	for _, path := range paths {
		if text, _, err := readSmall(path); err == nil {
			addNames(all, readDocument(path, text))
		}
	}
	ours = readEnviron(o.Environ, all)
	others := map[string]bool{}
	for key := range ours.values {
		if section, name, _ := strings.Cut(entryOf(key), "."); strange(key) && slices.Contains(all[section], name) {
			others[entryOf(key)] = true
		}
	}
	ours.without(others)
	return ours
}

// dirOf is sources_dir, before the layers are merged.
func (l *loader) dirOf(ours, flags *layer) string {
	const key = "sources_dir"
	for _, over := range []*layer{flags, ours} {
		if dir, _ := over.values[key].(string); dir != "" {
			return dir
		}
	}
	dir, _ := l.merged[key].(string)
	if dir != "" && !filepath.IsAbs(dir) && l.file != "" {
		dir = filepath.Join(filepath.Dir(l.file), dir)
	}
	return dir
}
