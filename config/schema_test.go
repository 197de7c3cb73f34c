package config

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json") // checks it against the dialect it names
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t testing.TB, s *jsonschema.Schema, text string) error {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestSchema_TakesWhatLoadTakes(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	file := writeConfig(t, minimal)
	for name, text := range map[string]string{
		"minimal":            minimal,
		"blank":              "nats:\nkeys:\n  a:\n",
		"blanks":             "nats: {user: , password_file: , replicas: }\nlog: {level: }\nreply: {allow: }\ngateway: {enabled: }\nquota: {reserve_requests: }\nredox: {timeout: , max_body: , base_url: }",
		"one of two secrets": "order: {secret: '', secret_file: secret.txt}\nkeys: {a: {private_key: , private_key_file: key.pem}}",
		"defaults":           string(new(Defaults()).YAML()),
		"printed":            string(mustLoad(t, Options{File: file}).YAML()),
		"golden":             printed,
		"units":              "redox: {timeout: 1.5d, max_body: 1}\nworker: {ack_wait: 1d12h30m, drain_timeout: .5s, retry: {initial: 1μs1ms}}",
		"sizes":              "redox: {max_body: 1024, timeout: 1d12h}\nreply: {allow: 'a.>,b.>'}",
	} {
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "golden" { // its secrets are redacted, and its files elsewhere
			continue
		}
		if _, err := Load(Options{File: writeConfig(t, text), Skip: PartKeys | PartSources | PartOrderSecret}); err != nil {
			t.Errorf("%s: Load does not take it: %v", name, err)
		}
	}
}

func TestSchema_RefusesWhatLoadRefuses(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	for name, text := range map[string]string{
		"unknown section":       "natz: {}",
		"unknown key":           "nats: {urll: x}",
		"unknown key of a key":  "keys: {a: {clientid: x}}",
		"unknown key of next":   "keys: {a: {next: {x: y}}}",
		"unknown key of retry":  "worker: {retry: {x: 1s}}",
		"name of a source":      "sources: {A_b: {}}",
		"type of section":       "log: info",
		"type of value":         "log: {level: {a: b}}",
		"integer":               "worker: {concurrency: many}",
		"range":                 "worker: {concurrency: 10001}",
		"below the range":       "worker: {concurrency: 0}",
		"exclusive maximum":     "quota: {reserve_requests: 1}",
		"one of integers":       "nats: {replicas: 2}",
		"one of texts":          "log: {level: loud}",
		"no unit":               "redox: {timeout: 150}",
		"wrong unit":            "redox: {timeout: '150'}",
		"days behind hours":     "redox: {timeout: 1h1d}",
		"days twice":            "redox: {timeout: 1d1d}",
		"size":                  "redox: {max_body: 10M}",
		"size below zero":       "redox: {max_body: -1}",
		"size below the least":  "bodies: {memory: 1000}",
		"boolean":               "gateway: {enabled: maybe}",
		"list":                  "reply: {allow: [{a: b}]}",
		"value and file":        "order: {secret: a, secret_file: b}",
		"value and file below":  "keys: {a: {next: {private_key: a, private_key_file: b}}}",
		"legacy with client id": "keys: {a: {type: legacy, client_id: x}}",
		"oauth with api key":    "keys: {a: {api_key: x}}",
		"user with secret":      "keys: {a: {type: user, secret: x}}",
		"scheme":                "redox: {base_url: 'ftp://x'}",
	} {
		if err := validate(t, s, text); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
		if _, err := Load(Options{File: writeConfig(t, text), Skip: PartKeys | PartSources | PartOrderSecret}); err == nil {
			t.Errorf("%s: Load takes it", name)
		}
	}
}

func TestSchema_IsStable(t *testing.T) {
	t.Parallel()
	first := Schema()
	for range 5 {
		if !bytes.Equal(first, Schema()) {
			t.Fatal("two calls, two texts")
		}
	}
	if !bytes.Contains(first, []byte(`"default": "nats://127.0.0.1:4222"`)) || !bytes.Contains(first, []byte(`"writeOnly": true`)) {
		t.Errorf("%s", first)
	}
}
