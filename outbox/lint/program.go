package lint

import (
	"context"
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// program is a compiled schema. One check at a time may use it.
type program struct {
	schema *jsonschema.Schema
	cost   *cost
	names  map[string]bool // of members that the schema has
}

// maxCost of one check: some seconds. A message of 10 MB takes a quarter of it.
const maxCost = 10_000_000

// cost counts what a check has cost, in units of half a microsecond, and ends it with a panic: the
// library has no other way.
type cost struct {
	left int64
	done <-chan struct{}
}

// spent is the panic.
type spent struct{}

func (c *cost) charge(n int64) {
	before := c.left
	if c.left -= n; c.left < 0 {
		panic(spent{})
	}
	if before/chargesBetweenLooks != c.left/chargesBetweenLooks {
		select {
		case <-c.done:
			panic(spent{})
		default:
		}
	}
}

// validate answers what the schema finds, or why it could not be asked.
func (p *program) validate(ctx context.Context, doc any, most int64) (failed *jsonschema.ValidationError, err error) {
	p.cost.left, p.cost.done = most, ctx.Done()
	defer func() {
		switch r := recover(); {
		case r == nil:
		case r != any(spent{}):
			panic(r)
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		default:
			err = unchecked("the schema makes too much of a message like this")
		}
	}()
	err = p.schema.Validate(doc)
	if errors.As(err, &failed) {
		return failed, nil
	}
	return nil, err
}

const chargesBetweenLooks = 1 << 14

// Patterns of a schema.
const (
	maxPattern      = 1_000 // bytes of a pattern
	maxInstructions = 5_000 // of what is made of it; (a{100}){100} has 10,000
)

// pattern is the regular expression of a schema, whose time is bounded by its size and the text's.
type pattern struct {
	*regexp.Regexp
	cost         *cost
	instructions int64
}

// MatchString implements [jsonschema.Regexp].
func (p *pattern) MatchString(text string) bool {
	p.cost.charge(1 + int64(len(text))*p.instructions/32)
	return p.Regexp.MatchString(text)
}

// pattern implements [jsonschema.RegexpEngine].
func (c *cost) pattern(text string) (jsonschema.Regexp, error) {
	if len(text) > maxPattern {
		return nil, errPattern
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	code, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(code.Inst) > maxInstructions {
		return nil, errPattern
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{compiled, c, int64(len(code.Inst))}, nil
}

// prepare goes through all that the schema consists of, collects the names that it has, and has
// each part charge for what it costs before it is applied to a value. The format of a part is what
// the library looks at first, and in every part.
func (p *program) prepare() error {
	seen := map[*jsonschema.Schema]bool{p.schema: true}
	heights := map[*jsonschema.Schema]int{}
	for open := []*jsonschema.Schema{p.schema}; len(open) > 0; {
		s := open[len(open)-1]
		open = open[:len(open)-1]
		if s.RecursiveRef != nil || s.DynamicRef != nil {
			return errDynamic
		}
		if height(s, heights, 0) < 0 {
			return errSelf
		}
		p.learn(s)
		for _, part := range slices.Concat(here(s), below(s)) {
			if !seen[part] {
				seen[part] = true
				open = append(open, part)
			}
		}
	}
	for s := range seen { // the format of all is in place: a charge looks at those of others
		p.meter(s)
	}
	return nil
}

// learn takes in the names of members that a part of the schema has.
func (p *program) learn(s *jsonschema.Schema) {
	for name := range s.Properties {
		p.names[name] = true
	}
	for name, needs := range s.Dependencies {
		p.names[name] = true
		if names, ok := needs.([]string); ok {
			for _, name := range names {
				p.names[name] = true
			}
		}
	}
	for _, name := range s.Required {
		p.names[name] = true
	}
}

// meter has a part of the schema charge for itself and for the parts that are applied to the same
// value or to each of its members and elements, as one that does not fit is not asked what it costs.
func (p *program) meter(s *jsonschema.Schema) {
	format := s.Format
	if format == nil {
		format = &jsonschema.Format{}
	}
	own, each := int64(1+(len(s.Required)+len(s.Dependencies))/4), int64(1+len(s.PatternProperties))
	for _, part := range here(s) {
		own += 1 + alone(part)
	}
	for _, part := range below(s) {
		each = max(each, 1+int64(len(s.PatternProperties))+alone(part))
	}
	if s.UniqueItems {
		each += 20
	}
	judge := format.Validate
	s.Format = &jsonschema.Format{Name: format.Name, Validate: func(v any) error {
		n := own
		switch v := v.(type) {
		case map[string]any:
			n += each * int64(len(v))
		case []any:
			n += each * int64(len(v))
		case string:
			n += int64(len(v)) / 64
		}
		p.cost.charge(n)
		if judge == nil {
			return nil
		}
		return judge(v)
	}}
}

// alone is what a part costs before it is asked: it looks through a list of values.
func alone(s *jsonschema.Schema) int64 {
	if s.Enum == nil {
		return 0
	}
	return int64(len(s.Enum.Values))
}

// maxHeight is how many parts may be applied to one value, each because of the one before.
const maxHeight = 64

// height is how many parts of a schema are applied to one value, one below the other: negative for
// what has no end.
func height(s *jsonschema.Schema, known map[*jsonschema.Schema]int, depth int) int {
	if h, ok := known[s]; ok {
		return h
	}
	if depth > maxHeight {
		return -1
	}
	known[s] = -1 // until it is known: who meets it here is below it
	h := 0
	for _, part := range here(s) {
		below := height(part, known, depth+1)
		if below < 0 || below >= maxHeight {
			return -1
		}
		h = max(h, below+1)
	}
	known[s] = h
	return h
}

// here are the parts of a schema that are applied to the same value.
func here(s *jsonschema.Schema) []*jsonschema.Schema {
	all := slices.Concat([]*jsonschema.Schema{s.Ref, s.Not, s.If, s.Then, s.Else}, s.AllOf, s.AnyOf, s.OneOf)
	for _, needs := range s.Dependencies {
		if part, ok := needs.(*jsonschema.Schema); ok {
			all = append(all, part)
		}
	}
	for _, part := range s.DependentSchemas {
		all = append(all, part)
	}
	return present(all)
}

// below are the parts of a schema that are applied to members and elements of a value.
func below(s *jsonschema.Schema) []*jsonschema.Schema {
	all := slices.Concat([]*jsonschema.Schema{s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.Items2020, s.UnevaluatedItems, s.ContentSchema}, s.PrefixItems)
	for _, part := range s.Properties {
		all = append(all, part)
	}
	for _, part := range s.PatternProperties {
		all = append(all, part)
	}
	for _, some := range []any{s.AdditionalProperties, s.Items, s.AdditionalItems} {
		switch some := some.(type) {
		case *jsonschema.Schema:
			all = append(all, some)
		case []*jsonschema.Schema:
			all = append(all, some...)
		}
	}
	return present(all)
}

// present are those that are there.
func present(all []*jsonschema.Schema) []*jsonschema.Schema {
	return slices.DeleteFunc(all, func(s *jsonschema.Schema) bool { return s == nil })
}
