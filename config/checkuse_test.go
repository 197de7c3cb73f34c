package config

import (
	"strings"
	"testing"
)

// use is a configuration of keys and sources; KEY stands for a complete private key.
var use = strings.NewReplacer("KEY", "kid: k, private_key_file: key.pem", "LEGACY", "type: legacy, secret: s, api_key", "IDA", idA, "IDB", idB)

// mismatches are keys that do not go with their sources.
var mismatches = []struct {
	name, yaml string
	want       []string // none: it goes; "warning: " before what is one
}{
	{"legacy without id", "keys: {main: {LEGACY: a}}\nsources: {a: {key: main}}", nil},
	{"user without id", "keys: {main: {type: user, client_id: c, KEY}}\nsources: {a: {key: main}}", nil},
	{"oauth without id", "keys: {main: {client_id: c, KEY}}\nsources: {a: {key: main}}", []string{
		"sources.a.id: is missing; copy the Source ID from Redox's dashboard (redoxworker.yaml:2)"}},
	{"several keys and sources per environment", "keys: {m: {client_id: c, KEY}, n: {client_id: d, KEY}, o: {client_id: e, KEY}}\n" +
		"sources: {a: {id: IDA, key: m}, b: {id: IDB, key: m}, c: {id: IDA, key: n, environment: staging}, d: {id: IDA, key: o, environment: production}}", nil},
	{"one key, two environments", "keys: {m: {client_id: c, KEY}}\nsources: {a: {id: IDA, key: m}, b: {id: IDB, key: m, environment: production}}", []string{
		"sources.b.key: key m already serves sources.a in development, and this source is in production; give each environment a key of its own (redoxworker.yaml:2)"}},
	{"one key under two names, two environments", "keys: {m: {client_id: c, KEY}, n: {client_id: c, KEY}}\nsources: {a: {id: IDA, key: m}, b: {id: IDB, key: n, environment: production}}", []string{
		"warning: sources.b.key: keys m and n are one key of Redox, and sources.a is in development, this source in production; give each environment a key of its own (redoxworker.yaml:2)"}},
	{"one user key, two environments", "keys: {m: {type: user, client_id: c, KEY}}\nsources: {a: {key: m}, b: {key: m, environment: production}}", nil},
	{"one client id, two types", "keys: {m: {client_id: c, KEY}, n: {type: user, client_id: c, KEY}}\nsources: {a: {id: IDA, key: m}}", []string{
		"warning: keys.n.client_id: is that of keys.m, which is of type oauth, and this key is of type user; set both to the type that Redox's dashboard shows, or give each its own client id (redoxworker.yaml:1)"}},
	{"legacy key, two sources", "keys: {m: {LEGACY: a}}\nsources: {a: {id: IDA, key: m}, b: {id: IDB, key: m}}", []string{
		"sources.b.id: is another one than that of sources.a, and key m of type legacy belongs to one source; give each source its own legacy key, or move both to a key of type oauth (redoxworker.yaml:2)"}},
	{"legacy key, two environments", "keys: {m: {LEGACY: a}, n: {LEGACY: a}}\nsources: {a: {key: m}, b: {key: n, environment: staging}}", []string{
		"warning: sources.b.key: keys m and n are one key of Redox, and sources.a is in development, this source in staging; give each environment a key of its own (redoxworker.yaml:2)"}},
	{"user key with data-model events", "keys: {m: {type: user, client_id: c, KEY}}\nsources: {a: {key: m, hold: [Order.*]}}", []string{
		"sources.a.hold: names data-model events, and key m of type user is for the Platform API only; remove it, or give the source a key of type oauth (redoxworker.yaml:2)"}},
	{"user key with FHIR scope", "keys: {m: {type: user, client_id: c, KEY, scope: 'fhir:development'}}\nsources: {a: {key: m}}", []string{
		"keys.m.scope: asks for FHIR, and a key of type user is for the Platform API only; remove the fhir: scopes, or set keys.m.type to oauth (redoxworker.yaml:1)"}},
	{"scope of another environment", "keys: {m: {client_id: c, KEY, scope: 'fhir:development fhir:staging'}}\nsources: {a: {id: IDA, key: m, environment: production}}", []string{
		"warning: keys.m.scope: asks for FHIR in development and staging, and sources.a is in production; add fhir:production, or remove the scope (redoxworker.yaml:1)"}},
	{"scope of this environment", "keys: {m: {client_id: c, KEY, scope: 'fhir:development fhir:staging'}}\nsources: {a: {id: IDA, key: m, environment: staging}}", nil},
	{"scope of another kind", "keys: {m: {client_id: c, KEY, scope: 'system/*.rs'}}\nsources: {a: {id: IDA, key: m}}", nil},
	{"type not known", "keys: {m: {type: x, client_id: c, KEY}}\nsources: {a: {id: IDA, key: m}}", []string{
		`keys.m.type: "x" is not one of oauth, legacy, user; choose one (redoxworker.yaml:1)`}},
}

func TestLoad_KeysAndTheirSources(t *testing.T) {
	t.Parallel()
	for _, tt := range mismatches {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := writeConfig(t, use.Replace(tt.yaml))
			if tt.want == nil || strings.HasPrefix(tt.want[0], "warning: ") {
				var got []string
				for _, w := range mustLoad(t, Options{File: file}).Warnings() {
					got = append(got, "warning: "+strings.ReplaceAll(w.String(), strings.TrimSuffix(file, "redoxworker.yaml"), ""))
				}
				diff(t, tt.want, got)
				return
			}
			diff(t, tt.want, problemsOf(t, Options{File: file}))
		})
	}
}
