package config

import (
	"reflect"
	"slices"
)

// Fixed returns the settings in which other differs from c, except for sources and keys: what a
// running worker does not take over.
func (c *Config) Fixed(other *Config) []string {
	var keys []string
	for _, f := range fields {
		if f.section() == "" && !sameValue(f.at(c), f.at(other)) {
			keys = append(keys, f.key)
		}
	}
	return keys
}

// WithEntries returns c with the sources and keys of other: what a running worker takes over.
func (c *Config) WithEntries(other *Config) *Config {
	next := *c
	next.Keys, next.Sources, next.meta = other.Keys, other.Sources, other.meta
	return &next
}

// sameValue compares what two pointers of a field point to.
func sameValue(a, b any) bool {
	switch a := a.(type) {
	case *Secret:
		return a.Equal(*b.(*Secret))
	case *URL:
		return a.Equal(*b.(*URL))
	}
	return reflect.DeepEqual(a, b)
}

// SameKey reports whether the key of that name has the same settings in c and other, so that
// credentials made of one serve for the other. The content of files is not compared: whoever uses
// the key follows its files.
func (c *Config) SameKey(other *Config, name string) bool {
	return equalKeys(c.asWritten(name), other.asWritten(name))
}

func equalKeys(a, b Key) bool {
	secrets := func(k *Key) []Secret {
		list := []Secret{k.PrivateKey, k.Next.PrivateKey, k.APIKey, k.Secret}
		k.PrivateKey, k.Next.PrivateKey, k.APIKey, k.Secret = Secret{}, Secret{}, Secret{}, Secret{}
		return list
	}
	return slices.EqualFunc(secrets(&a), secrets(&b), Secret.Equal) && a == b
}

// asWritten is a key without what its files say.
func (c *Config) asWritten(name string) Key {
	k := c.Keys[name]
	for _, held := range []struct {
		file   string
		secret *Secret
		kid    *string
		kidKey string
	}{
		{k.PrivateKeyFile, &k.PrivateKey, &k.KID, "kid"}, {k.Next.PrivateKeyFile, &k.Next.PrivateKey, &k.Next.KID, "next.kid"},
		{k.APIKeyFile, &k.APIKey, nil, ""}, {k.SecretFile, &k.Secret, nil, ""},
	} {
		if held.file == "" {
			continue
		}
		*held.secret = Secret{}
		if held.kid != nil && c.Origin("keys."+name+"."+held.kidKey) == "default" {
			*held.kid = ""
		}
	}
	return k
}
