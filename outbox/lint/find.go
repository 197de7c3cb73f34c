package lint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
)

// event is a data model and one of its events, as normal writes them.
type event struct{ model, name string }

// normal are the letters and digits of a name, in small letters: "Clinical Summary" is the folder
// clinicalsummary, and SSO's Sign-on the file sign-on.json.
func normal(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
}

const (
	maxEntries = 20_000 // of a directory and what is below it
	maxFolders = 4      // from the directory down to a schema
)

// find lists the schemas of a directory, whose links may lead to other places of it but not out.
func find(dir string) (map[event]*schema, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // it was only read
	f := finder{files: root.FS(), found: map[event]*schema{}}
	if err := f.folder(".", 0); err != nil {
		return nil, err
	}
	if len(f.found) == 0 {
		return nil, fmt.Errorf("%s holds no schema: they are files like patientadmin/newpatient.json, one for each event", dir)
	}
	return f.found, nil
}

type finder struct {
	files   fs.FS
	found   map[event]*schema
	entries int
}

func (f *finder) folder(name string, depth int) error {
	entries, err := fs.ReadDir(f.files, name)
	if err != nil {
		return err
	}
	if f.entries += len(entries); f.entries > maxEntries {
		return errors.New("the directory holds too much: name the one with the schemas")
	}
	for _, e := range entries {
		at := path.Join(name, e.Name())
		if strings.HasPrefix(e.Name(), ".") || e.Name() == "node_modules" {
			continue
		}
		info, err := fs.Stat(f.files, at) // of what a link leads to
		switch {
		case err != nil: // a link that leads out, or nowhere
		case info.IsDir() && depth < maxFolders:
			err = f.folder(at, depth+1)
		case info.Mode().IsRegular() && depth > 0 && strings.EqualFold(path.Ext(at), ".json"):
			err = f.add(at, info)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && info != nil {
			return err
		}
	}
	return nil
}

// add takes a file for the schema of what its folder and its own name say. Of a file that links lead to
// on several ways the shortest one counts.
func (f *finder) add(at string, info fs.FileInfo) error {
	folder, file := path.Split(at)
	e := event{normal(path.Base(folder)), normal(strings.TrimSuffix(file, path.Ext(file)))}
	switch other := f.found[e]; {
	case other == nil, os.SameFile(other.file, info) && len(at) < len(other.path):
		f.found[e] = newSchema(at, info)
	case !os.SameFile(other.file, info):
		return fmt.Errorf("%s and %s are of the same event; keep one of them", other.path, at)
	}
	return nil
}
