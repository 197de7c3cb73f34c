package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// leaves collects the addresses of all leaves of a struct.
func leaves(v reflect.Value, path string, into map[any]string) {
	if v.Kind() != reflect.Struct || v.Type() == reflect.TypeFor[Secret]() || v.Type() == reflect.TypeFor[URL]() {
		into[v.Addr().Interface()] = path
		return
	}
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.IsExported() && f.Type.Kind() != reflect.Map {
			leaves(v.Field(i), path+"."+f.Name, into)
		}
	}
}

func TestTable_EveryLeafOfTheStructAndNothingElse(t *testing.T) {
	t.Parallel()
	owners := map[string]any{"": &Config{}, "keys": &Key{}, "sources": &Source{}}
	left := map[any]string{}
	for _, o := range owners {
		leaves(reflect.ValueOf(o).Elem(), reflect.TypeOf(o).Elem().Name(), left)
	}
	for _, f := range fields {
		ptr := f.at(owners[f.section()])
		path, ok := left[ptr]
		if !ok {
			t.Errorf("%s: its value is no leaf, or that of another key", f.key)
		}
		delete(left, ptr)
		name := strings.ReplaceAll(strings.TrimPrefix(f.key, f.section()+".*."), "_", "")
		_, path, _ = strings.Cut(path, ".")
		if !strings.EqualFold(strings.ReplaceAll(path, ".", ""), strings.ReplaceAll(name, ".", "")) {
			t.Errorf("%s is kept in %s", f.key, path)
		}
	}
	if len(left) > 0 {
		t.Errorf("not in the table: %v", slices.Sorted(maps.Values(left)))
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		if f := reflect.TypeFor[Config]().Field(i); f.Type.Kind() == reflect.Map && !isMap(strings.ToLower(f.Name)) {
			t.Errorf("map %s is not known as one", f.Name)
		}
	}
}

func TestTable_KindsFitTheStruct(t *testing.T) {
	t.Parallel()
	want := map[kind]string{kindText: "*string", kindURL: "*string", kindFile: "*string", kindNewFile: "*string", kindDir: "*string", kindSecretFile: "*string", kindSecret: "*secret.Text", kindServers: "*config.URL",
		kindProxy: "*config.URL", kindInteger: "*int", kindNumber: "*float64", kindBoolean: "*bool", kindDuration: "*time.Duration", kindSize: "*int64", kindList: "*[]string"}
	owners := map[string]any{"": &Config{}, "keys": &Key{}, "sources": &Source{}}
	for _, f := range fields {
		ptr := f.at(owners[f.section()])
		if got := reflect.TypeOf(ptr).String(); got != want[f.kind] {
			t.Errorf("%s: %s for a %s", f.key, got, f.kind.name())
		}
		if f.def != "" {
			if fault := f.decode(ptr, f.def, nil); fault != nil {
				t.Errorf("%s: default %s %v", f.key, f.def, *fault)
			}
		}
		s, hasSibling := f.sibling()
		if isSecret := f.kind == kindSecret || f.kind == kindSecretFile; isSecret != hasSibling {
			t.Errorf("%s: sibling %v", f.key, hasSibling)
		} else if back, _ := s.sibling(); isSecret && back.key != f.key {
			t.Errorf("%s: the sibling of %s is %s", f.key, s.key, back.key)
		}
		if f.doc == "" || strings.HasSuffix(f.doc, ".") || strings.Contains(f.doc, "\n") {
			t.Errorf("%s: doc %q", f.key, f.doc)
		}
	}
}

// promised are keys that a configuration may rely on, with their defaults.
const promised = `nats.url=nats://127.0.0.1:4222 nats.creds_file nats.nkey_file nats.user nats.password_file nats.token_file nats.context nats.inbox_prefix
nats.tls.ca_file nats.tls.cert_file nats.tls.key_file nats.prefix=redox nats.replicas=1 nats.provision=auto
redox.base_url=https://api.redoxengine.com redox.blob_url=https://blob.redoxengine.com redox.token_url redox.legacy_url redox.endpoint_path=/endpoint redox.fhir_path=/fhir/R4/
redox.timeout=150s redox.max_body=10MB redox.max_answer.send=1MB redox.max_answer.request=40MB redox.strict_answers=auto redox.ca_file redox.client_cert_file redox.client_key_file redox.idle_timeout=50s redox.max_connection_age=5m redox.http2=auto redox.proxy_url
keys.<name>.type=oauth keys.<name>.client_id keys.<name>.kid keys.<name>.private_key_file keys.<name>.next.kid keys.<name>.next.private_key_file keys.<name>.algorithm
keys.<name>.audience keys.<name>.scope keys.<name>.mode=cached keys.<name>.pool=1 keys.<name>.api_key keys.<name>.secret_file
sources.<name>.id sources.<name>.key sources.<name>.environment=development sources.<name>.slug_guard=on sources.<name>.on_unknown=resend sources.<name>.hold sources_dir registry=false
order.after_dead_letter=continue order.secret_file seal.ring_file seal.require=false worker.concurrency=64 worker.ack_wait=30s worker.drain_timeout=30s
worker.retry.initial=2s worker.retry.max=10m worker.retry.max_age=24h worker.retry.request_max_age=5m worker.retry.max_attempts=0 worker.retry.poison_after=5
quota.requests=7500 quota.per=5m quota.group=default quota.scope=fleet quota.reserve_requests=0.2 reply.allow=_INBOX.> dlq.max_age=0s queue.max_bytes=-1 queue.max_msgs=-1 queue.max_share=0.5
console.nats.url console.nats.creds_file console.nats.user console.nats.password_file console.nats.inbox_prefix gateway.enabled=true gateway.max_wait=150s admin.listen=127.0.0.1:8466 log.level=info log.format=auto`

func TestReference_HoldsTheDesign(t *testing.T) {
	t.Parallel()
	got := map[string]Field{}
	for _, f := range Reference() {
		got[f.Key] = f
	}
	for _, one := range strings.Fields(promised) {
		key, def, _ := strings.Cut(one, "=")
		f, ok := got[key]
		if !ok || f.Default != def {
			t.Errorf("%s: in the table: %v, default %q, want %q", key, ok, f.Default, def)
		}
	}
	diff(t, Field{Key: "sources.<name>.on_unknown", Env: "REDOXWORKER_SOURCES_<NAME>_ON_UNKNOWN", Type: "string", Default: "resend", Values: []string{"resend", "hold"},
		Doc: "what to do when a request was written and no answer came"}, got["sources.<name>.on_unknown"])
	if f := got["order.secret"]; !f.Secret || f.Type != "secret" {
		t.Errorf("%+v", f)
	}
	for key, want := range map[string]string{"redox.max_body": "size", "nats.url": "url", "worker.ack_wait": "duration", "reply.allow": "list", "redox.ca_file": "path", "gateway.enabled": "boolean", "quota.reserve_requests": "number", "nats.replicas": "integer"} {
		if got[key].Type != want {
			t.Errorf("%s is a %s, want %s", key, got[key].Type, want)
		}
	}
}

func TestTable_ValuesAreTheConstants(t *testing.T) {
	t.Parallel()
	for key, want := range map[string][]string{
		"nats.provision": {ProvisionAuto, ProvisionNever}, "redox.region": {RegionUS, RegionCA}, "quota.scope": {ScopeFleet, ScopeProcess, ScopeNone},
		"keys.*.type": {KeyOAuth, KeyLegacy, KeyUser}, "keys.*.mode": {ModeCached, ModePerRequest}, "order.after_dead_letter": {AfterContinue, AfterHold},
		"sources.*.environment": {EnvironmentDevelopment, EnvironmentStaging, EnvironmentProduction}, "sources.*.slug_guard": {SlugGuardOn, SlugGuardOff}, "sources.*.on_unknown": {OnUnknownResend, OnUnknownHold},
	} {
		if f, _ := fieldOf(key); !slices.Equal(f.values, want) {
			t.Errorf("%s: %q, want %q", key, f.values, want)
		}
	}
}

func TestSuggest(t *testing.T) {
	t.Parallel()
	names := []string{"on_unknown", "slug_guard", "environment", "id", "key", "hold"}
	for name, want := range map[string]string{"on_unkown": "on_unknown", "enviroment": "environment", "ENVIRONMENT": "environment", "di": "id", "kye": "key", "zzz": "", "": "", "colour": "", strings.Repeat("k", 200): ""} {
		if got := suggest(name, names); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%s, %s) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
