package config

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// printed is everything (load_test.go) as it is printed.
const printed = `nats:
  url: tls://a.example:4222, tls://b.example:4222
  creds_file: ""
  nkey_file: ""
  user: worker
  password_file: DIR/secret.txt
  token_file: ""
  context: prod
  inbox_prefix: _INBOX_worker
  tls:
    ca_file: DIR/key.pem
    cert_file: DIR/key.pem
    key_file: DIR/key.pem
  prefix: acme-redox
  replicas: 3
  provision: never
redox:
  region: ca
  base_url: http://127.0.0.1:9000/api
  blob_url: http://localhost:9000/blob
  token_url: http://[::1]:9000/token
  legacy_url: https://legacy.example/auth
  endpoint_path: /v3/endpoint
  fhir_path: /api/FHIR/R4/
  timeout: 1m30s
  max_body: 8MiB
  max_file: 20MB
  max_answer:
    send: 2MB
    request: 5MB
  strict_answers: "off"
  offload:
    enabled: true
    over: 1MB
  headers: [Prefer, x-*]
  organization_id: "4711"
  ca_file: DIR/key.pem
  client_cert_file: DIR/key.pem
  client_key_file: DIR/key.pem
  idle_timeout: 4s
  max_connection_age: 0s
  http2: "on"
  proxy_url: http://[redacted]@proxy.example:3128
keys:
  main:
    type: oauth
    client_id: client-1
    kid: "12345"
    private_key_file: DIR/key.pem
    next:
      kid: kid-2
      private_key_file: DIR/key.pem
    algorithm: ES384
    audience: https://aud.example
    scope: fhir:development
    mode: cached
    pool: 4
  old:
    type: legacy
    mode: cached
    api_key: '[redacted]'
    secret_file: DIR/secret.txt
  people:
    type: user
    client_id: c
    kid: k
    private_key_file: DIR/key.pem
    next:
      kid: ""
      private_key_file: ""
    algorithm: ""
    audience: http://[::1]:9000/token
    scope: ""
    mode: per-request
    pool: 1
sources:
  "2":
    id: 7ce6f387-c33c-417d-8682-81e83628cbd0
    key: old
    environment: development
    slug_guard: "on"
    on_unknown: resend
    hold: []
  clinic-a:
    id: 7ce6f387-c33c-417d-8682-81e83628cbd9
    key: main
    environment: production
    slug_guard: "off"
    on_unknown: hold
    hold: [Order.*, Clinical Summary.Sign-on]
sources_dir: ""
registry: false
order:
  after_dead_letter: hold
  secret_file: DIR/secret.txt
worker:
  concurrency: 1
  ack_wait: 1s
  drain_timeout: 0s
  breaker_after: 3
  retry:
    initial: 1s
    max: 1s
    max_age: 168h
    request_max_age: 1m30s
    max_attempts: 3
    poison_after: 0
quota:
  requests: 100
  per: 1m
  group: eu
  scope: process
  reserve_requests: 0
reply:
  allow: ['app.{source}.replies.>', _INBOX.>]
dlq:
  max_age: 720h
queue:
  max_bytes: 10GB
  max_msgs: 100000
  max_share: 0.5
bodies:
  memory: 64MiB
  orphan_after: 48h
audit:
  file: /var/log/audit.jsonl
  stream: true
  max_age: 8760h
gateway:
  enabled: false
  max_wait: 10s
reconcile:
  enabled: true
  key: people
  interval: 5m
  give_up: 168h
outbox:
  driver: postgres
  dsn_file: DIR/secret.txt
  table: app_outbox
  batch: 100
  concurrency: 10
  poll: 2s
  notify: true
  on_late: hold
admin:
  listen: "off"
log:
  level: debug
  format: json
`

// withoutDefaults is got without the lines that want does not have and that are printed of defaults: keys that
// the file does not set.
func withoutDefaults(want, got, defaults string) string {
	of := make(map[string]bool)
	for line := range strings.Lines(defaults) {
		of[line] = true
	}
	left := slices.Collect(strings.Lines(want))
	var kept strings.Builder
	for line := range strings.Lines(got) {
		if len(left) > 0 && line == left[0] {
			left = left[1:]
		} else if of[line] {
			continue
		}
		kept.WriteString(line)
	}
	return kept.String()
}

func TestConfig_YAML(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, everything)
	c := mustLoad(t, Options{File: file})
	dir := strings.TrimSuffix(file, "/redoxworker.yaml")
	text := strings.ReplaceAll(string(c.YAML()), dir, "DIR")
	diff(t, printed, withoutDefaults(printed, text, string(mustLoad(t, Options{File: writeConfig(t, minimal)}).YAML())))

	var fromYAML, fromJSON any
	if err := yaml.Unmarshal(c.YAML(), &fromYAML); err != nil {
		t.Fatal(err)
	}
	normal, err := json.Marshal(fromYAML)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(normal, &fromYAML); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(c.JSON(), &fromJSON); err != nil {
		t.Fatalf("JSON: %v\n%s", err, c.JSON())
	}
	diff(t, fromYAML, fromJSON)
	for _, secret := range []string{"s3cr3t", "the-api-key", "pa55", "PRIVATE KEY"} {
		if strings.Contains(string(c.YAML())+string(c.JSON()), secret) {
			t.Errorf("%s is printed", secret)
		}
	}
	if j := string(c.JSON()); strings.Index(j, `"nats"`) > strings.Index(j, `"redox"`) || !strings.HasSuffix(j, "}\n") || strings.Contains(j, `\u003e`) {
		t.Errorf("order or form of the JSON:\n%s", j)
	}
}

func TestConfig_YAMLReadsBack(t *testing.T) {
	t.Parallel()
	all := strings.NewReplacer("user:pa55@", "", "api_key: the-api-key", "api_key_file: secret.txt").Replace(everything)
	for name, text := range map[string]string{"minimal": minimal, "everything": all, "no replies": minimal + "reply: {allow: []}"} {
		file := writeConfig(t, text)
		first := mustLoad(t, Options{File: file})
		for form, text := range map[string][]byte{"YAML": first.YAML(), "JSON": first.JSON()} {
			write(t, strings.TrimSuffix(file, "redoxworker.yaml"), "again.yaml", string(text))
			again := mustLoad(t, Options{File: strings.Replace(file, "redoxworker", "again", 1)})
			if d := cmpConfigs(first, again); d != "" {
				t.Errorf("%s, %s (-first +again)\n%s", name, form, d)
			}
			diff(t, string(first.YAML()), string(again.YAML()))
		}
	}
	d := Defaults()
	file := write(t, t.TempDir(), "defaults.yaml", string(d.YAML()))
	diff(t, &d, mustLoad(t, Options{File: file, Skip: PartKeys | PartSources}), ignoreMeta)
}

func TestConfig_RedactedTextIsNotReadBack(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, Options{File: writeConfig(t, everything)})
	file := write(t, t.TempDir(), "x.yaml", string(c.YAML()))
	got := strings.Join(problemsOf(t, Options{File: file}), "\n")
	if len(strings.Split(got, "\n")) != 2 || !strings.Contains(got, "redox.proxy_url: is the mark") || !strings.Contains(got, "keys.old.api_key: is the mark") {
		t.Errorf("problems:\n%s", got)
	}
}
