package config

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// decode fills a Config from the merged layers and the defaults.
func (l *loader) decode() *Config {
	c := &Config{}
	l.decodeEntries(c)
	for _, f := range fields {
		if f.section() == "" {
			l.fill(c, f, f.key)
		}
	}
	l.derive(c)
	l.deriveEntries(c)
	return c
}

// decodeEntries fills the keys and the sources.
func (l *loader) decodeEntries(c *Config) {
	keys, sources := l.names("keys"), l.names("sources")
	for _, name := range keys {
		if c.Keys == nil {
			c.Keys = map[string]Key{}
		}
		var k Key
		l.fillEntry(&k, "keys", name)
		c.Keys[name] = k
	}
	for _, name := range sources {
		if c.Sources == nil {
			c.Sources = map[string]Source{}
		}
		var s Source
		l.fillEntry(&s, "sources", name)
		c.Sources[name] = s
	}
}

func (l *loader) fillEntry(entry any, section, name string) {
	for _, f := range fields {
		if f.section() != section {
			continue
		}
		key := f.named(name)
		k, isKey := entry.(*Key)
		if isKey && !f.has(k.Type) {
			if l.has(key) && f.types != nil && k.Type != "" {
				l.problem(key, "is not used by a key of type "+k.Type, "remove it, or set "+join("keys."+name, "type"))
			}
			continue
		}
		l.fill(entry, f, key)
	}
}

// fill sets one field: what the layers say, or its default.
func (l *loader) fill(owner any, f field, key string) {
	value := l.merged[key]
	if text, ok := value.(string); value == nil || (ok && text == "") {
		value = f.def // "" in the file means the default, too
	}
	text, isText := value.(string)
	if isText && text == "" {
		return
	}
	var fault *fault
	list, isList := value.([]string)
	if isList && f.kind != kindList {
		fault = f.wrongKind("a list")
	} else if !utf8.ValidString(text + strings.Join(list, "")) {
		fault = &faultEncoding
	} else if isText && strings.Contains(text, redacted) {
		fault = &faultRedacted
	} else {
		fault = f.decode(f.at(owner), text, list)
	}
	if fault != nil {
		l.failed[key] = true
		l.problem(key, fault.text, fault.mend)
		return
	}
	l.fillFile(owner, f, key)
}

// derive sets the defaults that depend on other settings.
func (l *loader) derive(c *Config) {
	r := &c.Redox
	if r.Region == RegionCA {
		l.regional(&r.BaseURL, "redox.base_url", "https://api.ca.redoxengine.com")
		l.regional(&r.BlobURL, "redox.blob_url", "https://blob.ca.redoxengine.com") // a guess after the other
	}
	r.BaseURL = strings.TrimRight(r.BaseURL, "/")
	r.BlobURL = strings.TrimRight(r.BlobURL, "/")
	r.LegacyURL = strings.TrimRight(r.LegacyURL, "/")
	if r.TokenURL == "" {
		r.TokenURL = r.BaseURL + "/v2/auth/token"
	}
	if r.LegacyURL == "" {
		r.LegacyURL = r.BaseURL + "/auth"
	}
	c.Console.BasePath, c.Console.PublicURL = strings.TrimRight(c.Console.BasePath, "/"), strings.TrimRight(c.Console.PublicURL, "/")
	if c.Console.Listen == listenOff {
		c.Console.Listen = ""
	}
	if c.Admin.Listen == listenOff {
		c.Admin.Listen = ""
	}
}

// deriveEntries is derive of keys and sources.
func (l *loader) deriveEntries(c *Config) {
	for name, k := range c.Keys {
		if k.Type != KeyLegacy && k.Audience == "" {
			k.Audience = c.Redox.TokenURL
		}
		c.Keys[name] = k
	}
	for name, s := range c.Sources {
		s.ID = strings.ToLower(s.ID)
		c.Sources[name] = s
	}
}

// regional sets a host that is not set otherwise.
func (l *loader) regional(url *string, key, host string) {
	if !l.isSet(key) {
		*url = host
	}
}

// listenOff turns the admin listener off: an empty text means the default.
const listenOff = "off"

// maxPath is the longest path that Linux takes.
const maxPath = 4096

// fault is what is wrong with one value.
type fault struct{ text, mend string }

var faultEncoding = fault{"is not UTF-8", "write it as UTF-8"}

var faultRedacted = fault{"is the mark that stands for a secret", "give the secret itself"}

func (f field) wrongKind(found string) *fault {
	return &fault{"must be " + f.kind.article() + ", not " + found, f.kind.example()}
}

// decode reads the text, or the list, into the field. Secrets are never shown.
func (f field) decode(ptr any, text string, list []string) *fault {
	switch p := ptr.(type) {
	case *Secret:
		*p = NewSecret(secretText(text))
	case *string:
		return f.decodeText(p, text)
	case *URL:
		*p = NewURL(text)
		return f.checkURL(text)
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return f.bad(text, "is neither true nor false")
		}
		*p = b
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return f.bad(text, "is not a whole number")
		}
		*p = n
		return f.bounds(text)
	case *float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return f.bad(text, "is not a number")
		}
		*p = n
		return f.bounds(text)
	case *time.Duration:
		d, err := parseDuration(text)
		if err != nil {
			return f.bad(text, err.Error())
		}
		*p = d
		return f.bounds(text)
	case *int64:
		n, err := parseSize(text)
		if err != nil {
			return f.bad(text, err.Error())
		}
		*p = n
		return f.bounds(text)
	case *[]string:
		if list == nil {
			list = strings.Split(text, ",")
		}
		return f.decodeList(p, list)
	}
	return nil
}

func (f field) decodeText(p *string, text string) *fault {
	if strings.ContainsAny(text, "\r\n\x00") {
		if f.kind.isPath() {
			return &fault{"holds a text of several lines, not a path", "give the path of a file"}
		}
		return &fault{"holds several lines", "give one line"}
	}
	text = strings.TrimSpace(text)
	switch {
	case f.kind.isPath() && (strings.HasPrefix(text, "-----BEGIN") || strings.HasPrefix(text, "{") || len(text) > maxPath):
		return &fault{"holds the text of a key, not a path", "give the path of a file"}
	case f.kind == kindURL:
		if fault := f.checkURL(text); fault != nil {
			return fault
		}
	case len(f.values) > 0 && !slices.Contains(f.values, text):
		return f.bad(text, "is not one of "+strings.Join(f.values, ", "))
	}
	*p = text
	return nil
}

func (f field) decodeList(p *[]string, list []string) *fault {
	var out []string
	for _, one := range list {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	*p = out
	return nil
}

// bad shows a value of a field that is not a secret.
func (f field) bad(text, what string) *fault {
	mend := f.kind.example()
	if s := suggest(text, f.values); s != "" {
		mend = "did you mean " + s + "?"
	} else if len(f.values) > 0 {
		mend = "choose one"
	}
	return &fault{shown(text) + " " + what, mend}
}

// secretText undoes the writing of line breaks as \n, which is how a PEM block
// gets through tools that keep a variable on one line.
func secretText(text string) string {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "-----BEGIN") && !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, `\n`, "\n")
	}
	return text
}
