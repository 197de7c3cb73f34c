package config

import (
	"strings"
	"testing"
)

func TestLoad_Reconcile(t *testing.T) {
	t.Parallel()
	const user = "    type: user\n    client_id: u\n    kid: u\n    private_key_file: key.pem\n"
	for name, tc := range map[string]struct{ text, want, key string }{
		"the only user key": {text: "redox: {organization_id: 4}\nreconcile: {enabled: true}\n", key: "people"},
		"named":             {text: "redox: {organization_id: 4}\nreconcile: {enabled: true, key: people}\n", key: "people"},
		"off":               {text: "reconcile: {key: nobody}\n", key: "nobody"},
		"no organization":   {text: "reconcile: {enabled: true}\n", want: "redox.organization_id: is missing, and reconcile.enabled needs it; copy the organization's id from Redox's dashboard"},
		"not an id":         {text: "redox: {organization_id: a/../b}\n", want: `redox.organization_id: "a/../b" is not an id; copy the organization's id from Redox's dashboard`},
		"another type":      {text: "redox: {organization_id: 4}\nreconcile: {enabled: true, key: main}\n", want: "reconcile.key: key main is not a user-level key, and the Platform API takes no other; name one of type user"},
		"unknown":           {text: "redox: {organization_id: 4}\nreconcile: {enabled: true, key: nobody}\n", want: `reconcile.key: no key is called "nobody"; user-level keys: people`},
		"longer than ever":  {text: "reconcile: {interval: 2h, give_up: 1h}\n", want: "reconcile.interval: 2h is longer than reconcile.give_up (1h); give at most reconcile.give_up, or raise that"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(minimal, "keys:\n", "keys:\n  people:\n"+user, 1) + tc.text
			c, err := Load(Options{File: writeConfig(t, text)})
			if tc.want == "" {
				if err != nil || c.Reconcile.Key != tc.key {
					t.Fatalf("%v, key %q", err, c.Reconcile.Key)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("%v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestConfig_UserKey(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		keys  map[string]Key
		asked string
		want  string // a key, or the start of an error
	}{
		"none":         {map[string]Key{"main": {Type: KeyOAuth}}, "", "no key is of type user"},
		"one":          {map[string]Key{"main": {Type: KeyOAuth}, "me": {Type: KeyUser}}, "", "me"},
		"two":          {map[string]Key{"you": {Type: KeyUser}, "me": {Type: KeyUser}}, "", "there are several keys of type user; name one of me, you"},
		"one of two":   {map[string]Key{"you": {Type: KeyUser}, "me": {Type: KeyUser}}, "you", "you"},
		"no such key":  {map[string]Key{}, "you", `no key is called "you"; user-level keys: none`},
		"not a user's": {map[string]Key{"main": {Type: KeyLegacy}}, "main", "key main is not a user-level key"},
	} {
		got, err := (&Config{Keys: tc.keys}).UserKey(tc.asked)
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
