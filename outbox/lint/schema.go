package lint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	maxFile    = 2 << 20          // bytes of a schema; the largest of Redox has 126 KB
	maxFiles   = 100              // that one schema may refer to, itself included
	maxCompile = 20 * time.Second // of what takes some milliseconds
)

// schema of one event. A program counts what the check under way costs, so that there is one for each
// check at a time, as many as there are processors.
type schema struct {
	path  string
	file  fs.FileInfo
	slots chan struct{} // taken by checks under way

	mu     sync.Mutex
	idle   []*program
	broken error // why it cannot be used, for good
}

func newSchema(path string, file fs.FileInfo) *schema {
	return &schema{path: path, file: file, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// program answers one that is to be given back with release.
func (s *schema) program(ctx context.Context, dir string) (p *program, err error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	defer func() {
		if p == nil {
			<-s.slots
		}
	}()
	s.mu.Lock()
	broken := s.broken
	if last := len(s.idle) - 1; last >= 0 {
		p, s.idle = s.idle[last], s.idle[:last]
	}
	s.mu.Unlock()
	if p != nil || broken != nil {
		return p, broken
	}
	if p, err = compile(ctx, dir, s.path); err != nil && ctx.Err() == nil {
		s.mu.Lock()
		s.broken = err
		s.mu.Unlock()
	}
	return p, err
}

func (s *schema) release(p *program) {
	s.mu.Lock()
	s.idle = append(s.idle, p)
	s.mu.Unlock()
	<-s.slots
}

// base is where schemas seem to be: a $ref that begins elsewhere leads to what is never opened.
const base = "schemas:///"

var (
	errElsewhere = errors.New("it refers to another host or scheme, from which nothing is fetched")
	errNoFile    = errors.New("it refers to a file that is not there, or not in the directory")
	errTooLarge  = errors.New("it, or what it refers to, is larger than a schema is")
	errTooLong   = errors.New("it takes too long to be read")
	errPattern   = errors.New("it has a pattern that is too long, or uses what Go's regular expressions do not have")
	errSelf      = errors.New("it refers to itself without an end, or nests too deeply")
	errNotJSON   = errors.New("it, or what it refers to, is not one JSON text")
	errNoSchema  = errors.New("it is no JSON schema of a draft that is known, or refers to what it does not have")
	errDynamic   = errors.New("it has references that depend on where they are met, which draft 4 does not know")
)

// compile makes a program of a schema and of what it refers to.
func compile(ctx context.Context, dir, path string) (*program, error) {
	until := time.Now().Add(maxCompile)
	p := &program{cost: new(cost), names: map[string]bool{}}
	files := &loader{dir: dir}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft4)
	c.UseLoader(files)
	patterns := true // can be used
	c.UseRegexpEngine(func(text string) (jsonschema.Regexp, error) {
		r, err := p.cost.pattern(text)
		patterns = patterns && err == nil
		return r, err
	})
	c.RegisterVocabulary(&jsonschema.Vocabulary{URL: base, Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) {
		if ctx.Err() != nil || time.Now().After(until) {
			return nil, errTooLong
		}
		return nil, nil
	}})
	compiled, err := c.Compile(base + (&url.URL{Path: path}).EscapedPath())
	if err == nil {
		p.schema = compiled
		err = p.prepare()
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, unchecked("the schema %s cannot be used: %v", path, unusable(err, files.err, patterns))
	}
	return p, nil
}

// unusable is why a schema cannot be used, in words of this package: those of the library quote it.
func unusable(err, file error, patterns bool) error {
	switch {
	case file != nil:
		return file
	case !patterns:
		return errPattern
	}
	for _, known := range []error{errTooLong, errSelf, errDynamic} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errNoSchema
}

// loader reads the files of a directory.
type loader struct {
	dir   string
	files int
	err   error // the first
}

// Load implements [jsonschema.URLLoader].
func (l *loader) Load(at string) (any, error) {
	doc, err := l.load(at)
	if err != nil && l.err == nil {
		l.err = err
	}
	return doc, err
}

func (l *loader) load(at string) (any, error) {
	if l.files++; l.files > maxFiles {
		return nil, errTooLarge
	}
	u, err := url.Parse(at)
	if err != nil || !strings.HasPrefix(at, base) || u.Host != "" || u.Opaque != "" {
		return nil, errElsewhere
	}
	f, err := os.OpenInRoot(l.dir, strings.TrimPrefix(u.Path, "/"))
	if err != nil {
		return nil, errNoFile
	}
	defer func() { _ = f.Close() }() // it was only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errNoFile
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, errNoFile
	case len(text) > maxFile:
		return nil, errTooLarge
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if values, depth := measure(text); values > maxKeywords || depth > maxDepth {
		return nil, errTooLarge
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, errNotJSON
	}
	if !plain(doc) || resources(doc) > maxResources {
		return nil, errTooLarge
	}
	forgive(doc)
	return doc, nil
}

// forgive removes lists of types that have one twice, as some of Redox's have: draft 4 refuses
// them, and what they were to say is not known.
func forgive(v any) {
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			forgive(element)
		}
	case map[string]any:
		if types, ok := v["type"].([]any); ok && twice(types) {
			delete(v, "type")
		}
		for _, member := range v {
			forgive(member)
		}
	}
}

// twice reports whether a text is in a list twice.
func twice(list []any) bool {
	seen := map[string]bool{}
	for _, element := range list {
		text, ok := element.(string)
		if ok && seen[text] {
			return true
		}
		seen[text] = true
	}
	return false
}
