package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLoad_Defaults(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal)
	got := mustLoad(t, Options{File: file})
	want := &Config{
		NATS: NATS{URL: NewURL("nats://127.0.0.1:4222"), Prefix: "redox", Replicas: 1, Provision: "auto"},
		Redox: Redox{Region: "us", BaseURL: "https://api.redoxengine.com", BlobURL: "https://blob.redoxengine.com", TokenURL: "https://api.redoxengine.com/v2/auth/token", LegacyURL: "https://api.redoxengine.com/auth", EndpointPath: "/endpoint", FHIRPath: "/fhir/R4/", Timeout: 150 * time.Second, MaxBody: 10_000_000,
			MaxFile: 30_000_000, MaxAnswer: MaxAnswer{1_000_000, 40_000_000}, StrictAnswers: StrictAuto, Offload: Offload{Over: 200_000}, Headers: []string{"Prefer", "If-*", "X-Sender-Organization-Id", "X-User-Id"}, IdleTimeout: 50 * time.Second, MaxConnectionAge: 5 * time.Minute, HTTP2: HTTP2Auto},
		Order:   Order{AfterDeadLetter: "continue"},
		Worker:  Worker{Concurrency: 64, AckWait: 30 * time.Second, DrainTimeout: 30 * time.Second, BreakerAfter: 5, Retry: Retry{Initial: 2 * time.Second, Max: 10 * time.Minute, MaxAge: 24 * time.Hour, RequestMaxAge: 5 * time.Minute, PoisonAfter: 5}},
		Quota:   Quota{Requests: 7500, Per: 5 * time.Minute, Group: "default", Scope: "fleet", ReserveRequests: 0.2},
		Reply:   Reply{Allow: []string{"_INBOX.>"}},
		Gateway: Gateway{Enabled: true, MaxWait: 150 * time.Second},
		Admin:   Admin{Listen: "127.0.0.1:8466"},
		Log:     Log{Level: "info", Format: "auto"},

		Queue:     Queue{MaxBytes: -1, MaxMsgs: -1, MaxShare: 0.5},
		Bodies:    Bodies{Memory: 256_000_000, OrphanAfter: 24 * time.Hour},
		Reconcile: Reconcile{Interval: time.Minute, GiveUp: 24 * time.Hour},
		Outbox:    Outbox{Table: "redox_outbox", Batch: 256, Concurrency: 64, Poll: time.Second, OnLate: LateResend},
	}
	// What a new key has by default is said by its tag alone.
	diff(t, want, new(Defaults()), ignoreMeta, cmp.FilterPath(func(p cmp.Path) bool {
		named, _ := p.Last().Values()
		return len(p) > 1 && named.IsValid() && named.IsZero()
	}, cmp.Ignore()))
	d := Defaults()
	diff(t, []any{false, false, false, false, false, false, 0, time.Duration(0), time.Duration(0), "", "", "", ""},
		[]any{d.Registry, d.Redox.Offload.Enabled, d.Audit.Stream, d.Reconcile.Enabled, d.Outbox.Notify, d.Order.Secret.IsSet(), d.Worker.Retry.MaxAttempts, d.DLQ.MaxAge, d.Audit.MaxAge,
			d.Audit.File, d.Outbox.Driver, d.SourcesDir, d.NATS.User})
	want = &d
	pem, err := os.ReadFile(filepath.Join(filepath.Dir(file), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	want.Keys = map[string]Key{"main": {Type: "oauth", ClientID: "client-1", KID: "kid-1", PrivateKey: NewSecret(string(pem[:len(pem)-1])),
		PrivateKeyFile: filepath.Join(filepath.Dir(file), "key.pem"), Audience: "https://api.redoxengine.com/v2/auth/token", Mode: "cached", Pool: 1}}
	want.Sources = map[string]Source{"clinic-a": {ID: "7ce6f387-c33c-417d-8682-81e83628cbd9", Key: "main", Environment: "development", SlugGuard: "on", OnUnknown: "resend"}}
	diff(t, want, got, ignoreMeta)
	if w := got.Warnings(); len(w) != 0 {
		t.Errorf("warnings: %v", w)
	}
}

const everything = `
nats:
  url: tls://a.example:4222, tls://b.example:4222
  user: worker
  password_file: secret.txt
  context: prod
  inbox_prefix: _INBOX_worker
  tls: {ca_file: key.pem, cert_file: key.pem, key_file: key.pem}
  prefix: acme-redox
  replicas: 3
  provision: never
redox:
  region: ca
  base_url: http://127.0.0.1:9000/api/
  blob_url: http://localhost:9000/blob
  token_url: http://[::1]:9000/token
  legacy_url: https://legacy.example/auth/
  endpoint_path: /v3/endpoint
  fhir_path: /api/FHIR/R4/
  timeout: 1m30s
  max_body: 8MiB
  max_file: 20MB
  max_answer: {send: 2MB, request: 5MB}
  offload: {enabled: true, over: 1MB}
  organization_id: 4711
  ca_file: key.pem
  client_cert_file: key.pem
  client_key_file: key.pem
  strict_answers: off
  headers: [Prefer, x-*]
  idle_timeout: 4s
  max_connection_age: 0s
  http2: on
  proxy_url: http://user:pa55@proxy.example:3128
keys:
  main:
    type: oauth
    client_id: client-1
    kid: 12345
    private_key_file: key.pem
    next: {kid: kid-2, private_key_file: key.pem}
    algorithm: ES384
    audience: https://aud.example
    scope: fhir:development
    mode: cached
    pool: 4
  old: {type: legacy, api_key: the-api-key, secret_file: secret.txt}
  people: {type: user, client_id: c, kid: k, private_key_file: key.pem, mode: per-request}
sources:
  clinic-a:
    id: 7CE6F387-C33C-417D-8682-81E83628CBD9
    key: main
    environment: production
    slug_guard: off
    on_unknown: hold
    hold: ["Order.*", "Clinical Summary.Sign-on"]
  2: {id: 7ce6f387-c33c-417d-8682-81e83628cbd0, key: old}
order: {after_dead_letter: hold, secret_file: secret.txt}
worker:
  concurrency: 1
  ack_wait: 1s
  drain_timeout: 0s
  breaker_after: 3
  retry: {initial: 1s, max: 1s, max_age: 7d, request_max_age: 90s, max_attempts: 3, poison_after: 0}
quota: {requests: 100, per: 1m, group: eu, scope: process, reserve_requests: 0}
reply: {allow: ["app.{source}.replies.>", "_INBOX.>"]}
dlq: {max_age: 30d}
queue: {max_bytes: 10GB, max_msgs: 100000}
bodies: {memory: 64MiB, orphan_after: 2d}
audit: {file: /var/log/audit.jsonl, stream: true, max_age: 365d}
gateway: {enabled: false, max_wait: 10s}
reconcile: {enabled: true, key: people, interval: 5m, give_up: 7d}
outbox: {driver: postgres, dsn_file: secret.txt, table: app_outbox, batch: 100, concurrency: 10, poll: 2s, notify: true, on_late: hold}
admin: {listen: off}
log: {level: debug, format: json}
`

func TestLoad_Region(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]Redox{
		"{}":           {BaseURL: "https://api.redoxengine.com", BlobURL: "https://blob.redoxengine.com", TokenURL: "https://api.redoxengine.com/v2/auth/token"},
		"{region: us}": {BaseURL: "https://api.redoxengine.com", BlobURL: "https://blob.redoxengine.com", TokenURL: "https://api.redoxengine.com/v2/auth/token"},
		"{region: ca}": {BaseURL: "https://api.ca.redoxengine.com", BlobURL: "https://blob.ca.redoxengine.com", TokenURL: "https://api.ca.redoxengine.com/v2/auth/token"},
		"{region: ca, blob_url: 'https://files.example/'}":                                                     {BaseURL: "https://api.ca.redoxengine.com", BlobURL: "https://files.example", TokenURL: "https://api.ca.redoxengine.com/v2/auth/token"},
		"{region: ca, base_url: 'https://gw.example', token_url: 'https://api.redoxengine.com/v2/auth/token'}": {BaseURL: "https://gw.example", BlobURL: "https://blob.ca.redoxengine.com", TokenURL: "https://api.redoxengine.com/v2/auth/token"},
	} {
		c := mustLoad(t, Options{File: writeConfig(t, minimal+"redox: "+region+"\n")}).Redox
		if c.BaseURL != want.BaseURL || c.BlobURL != want.BlobURL || c.TokenURL != want.TokenURL {
			t.Errorf("%s: %s, %s, %s", region, c.BaseURL, c.BlobURL, c.TokenURL)
		}
	}
}

func TestLoad_Everything(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, everything)
	c := mustLoad(t, Options{File: file})
	dir := filepath.Dir(file)
	pem, secret := filepath.Join(dir, "key.pem"), filepath.Join(dir, "secret.txt")
	want := Defaults() // for keys that the file does not set
	n := &want.NATS
	n.URL, n.User, n.Password, n.PasswordFile, n.Context = NewURL("tls://a.example:4222, tls://b.example:4222"), "worker", NewSecret("s3cr3t-from-file"), secret, "prod"
	n.InboxPrefix, n.TLS, n.Prefix, n.Replicas, n.Provision = "_INBOX_worker", TLS{pem, pem, pem}, "acme-redox", 3, "never"
	diff(t, want.NATS, c.NATS)
	r := &want.Redox
	r.Region, r.BaseURL, r.BlobURL, r.TokenURL, r.LegacyURL = "ca", "http://127.0.0.1:9000/api", "http://localhost:9000/blob", "http://[::1]:9000/token", "https://legacy.example/auth"
	r.EndpointPath, r.FHIRPath, r.Timeout, r.MaxBody, r.MaxFile, r.MaxAnswer = "/v3/endpoint", "/api/FHIR/R4/", 90*time.Second, 8<<20, 20_000_000, MaxAnswer{2_000_000, 5_000_000}
	r.StrictAnswers, r.Offload, r.Headers, r.OrganizationID = StrictOff, Offload{Enabled: true, Over: 1_000_000}, []string{"Prefer", "x-*"}, "4711"
	r.CAFile, r.ClientCertFile, r.ClientKeyFile, r.IdleTimeout, r.MaxConnectionAge, r.HTTP2 = pem, pem, pem, 4*time.Second, 0, HTTP2On
	r.ProxyURL = NewURL("http://user:pa55@proxy.example:3128")
	diff(t, want.Redox, c.Redox)
	diff(t, Key{Type: "legacy", Mode: ModeCached, APIKey: NewSecret("the-api-key"), Secret: NewSecret("s3cr3t-from-file"), SecretFile: secret}, c.Keys["old"])
	main := c.Keys["main"]
	if !main.PrivateKey.IsSet() || !main.Next.PrivateKey.Equal(main.PrivateKey) {
		t.Error("the private keys were not read from their files")
	}
	main.PrivateKey, main.Next.PrivateKey = Secret{}, Secret{}
	diff(t, Key{Type: "oauth", ClientID: "client-1", KID: "12345", PrivateKeyFile: pem, Next: NextKey{KID: "kid-2", PrivateKeyFile: pem},
		Algorithm: "ES384", Audience: "https://aud.example", Scope: "fhir:development", Mode: "cached", Pool: 4}, main)
	diff(t, map[string]Source{
		"clinic-a": {ID: "7ce6f387-c33c-417d-8682-81e83628cbd9", Key: "main", Environment: "production", SlugGuard: "off", OnUnknown: "hold", Hold: []string{"Order.*", "Clinical Summary.Sign-on"}},
		"2":        {ID: "7ce6f387-c33c-417d-8682-81e83628cbd0", Key: "old", Environment: "development", SlugGuard: "on", OnUnknown: "resend"},
	}, c.Sources)
	want.Order.AfterDeadLetter, want.Order.Secret, want.Order.SecretFile = "hold", NewSecret("s3cr3t-from-file"), secret
	w := &want.Worker
	w.Concurrency, w.AckWait, w.DrainTimeout, w.BreakerAfter = 1, time.Second, 0, 3
	w.Retry.Initial, w.Retry.Max, w.Retry.MaxAge, w.Retry.RequestMaxAge = time.Second, time.Second, 168*time.Hour, 90*time.Second
	w.Retry.MaxAttempts, w.Retry.PoisonAfter = 3, 0
	q := &want.Quota
	q.Requests, q.Per, q.Group, q.Scope, q.ReserveRequests = 100, time.Minute, "eu", "process", 0
	want.Reply.Allow, want.DLQ.MaxAge, want.Queue.MaxBytes, want.Queue.MaxMsgs = []string{"app.{source}.replies.>", "_INBOX.>"}, 720*time.Hour, 10_000_000_000, 100000
	want.Bodies.Memory, want.Bodies.OrphanAfter = 64<<20, 48*time.Hour
	want.Audit.File, want.Audit.Stream, want.Audit.MaxAge = "/var/log/audit.jsonl", true, 365*24*time.Hour
	want.Gateway.Enabled, want.Gateway.MaxWait = false, 10*time.Second
	want.Admin.Listen, want.Log.Level, want.Log.Format = "", "debug", "json"
	diff(t, []any{want.Order, want.Worker, want.Quota, want.Reply, want.DLQ, want.Queue, want.Bodies, want.Audit, want.Gateway, want.Admin, want.Log},
		[]any{c.Order, c.Worker, c.Quota, c.Reply, c.DLQ, c.Queue, c.Bodies, c.Audit, c.Gateway, c.Admin, c.Log})
	diff(t, []string{pem, file, secret}, c.Files())
}

func TestLoad_FlagsOverEnvironmentOverFile(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal+"worker: {concurrency: 2, ack_wait: 2s}\nlog: {level: warn}\n")
	c := mustLoad(t, Options{
		File:    file,
		Environ: []string{"REDOXWORKER_WORKER_CONCURRENCY=3", "REDOXWORKER_WORKER_ACK_WAIT=3s", "REDOXWORKER_LOG_FORMAT=", "HOME=/"},
		Flags: map[string]any{"worker.ack_wait": 4 * time.Second, "gateway.enabled": false, "reply.allow": []string{"a.>", "b.>"},
			"quota.reserve_requests": 0.5, "worker.retry.max_attempts": 7, "quota.requests": int64(8), "redox.max_body": "1kB"},
	})
	diff(t, []any{3, 4 * time.Second, "warn", false, []string{"a.>", "b.>"}, 0.5, 7, 8, int64(1000), "auto"},
		[]any{c.Worker.Concurrency, c.Worker.AckWait, c.Log.Level, c.Gateway.Enabled, c.Reply.Allow, c.Quota.ReserveRequests, c.Worker.Retry.MaxAttempts, c.Quota.Requests, c.Redox.MaxBody, c.Log.Format})
	for key, want := range map[string]string{
		"log.level":           file + ":12",
		"worker.concurrency":  "environment REDOXWORKER_WORKER_CONCURRENCY",
		"worker.ack_wait":     "command line",
		"log.format":          "default",
		"sources.clinic-a.id": file + ":9",
	} {
		if got := c.Origin(key); got != want {
			t.Errorf("Origin(%s) = %q, want %q", key, got, want)
		}
	}
}

func TestLoad_Skip(t *testing.T) {
	t.Parallel()
	if _, err := Load(Options{Skip: PartKeys | PartSources}); err != nil {
		t.Errorf("nothing needed: %v", err)
	}
	provision := "order: {secret_file: nowhere}\nkeys: {main: {private_key_file: nowhere}}\nsources: {clinic-a: {key: other}, clinic-b: }\n"
	c := mustLoad(t, Options{File: writeConfig(t, provision), Skip: PartKeys | PartOrderSecret})
	if len(c.Sources) != 2 {
		t.Errorf("sources: %v", c.Sources)
	}
	if f := c.Files(); len(f) != 1 {
		t.Errorf("files of parts that are skipped were read: %v", f)
	}
	diff(t, []string{"sources: no source is configured; name one below sources, with its id and key"}, problemsOf(t, Options{Skip: PartKeys}))
	diff(t, []string{"keys: no key is configured; name one below keys, with its client_id, kid and private_key_file"}, problemsOf(t, Options{Skip: PartSources}))
	diff(t, []string{`nats.replicas: "2" is not one of 1, 3, 5; choose one (command line)`},
		problemsOf(t, Options{Flags: map[string]any{"nats.replicas": 2}, Skip: PartKeys | PartSources}))
}

func TestLoad_FileFromEnvironment(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, minimal)
	c := mustLoad(t, Options{Environ: []string{"REDOXWORKER_CONFIG=" + file}})
	if len(c.Sources) != 1 {
		t.Errorf("sources: %v", c.Sources)
	}
	if _, err := Load(Options{File: file, Environ: []string{"REDOXWORKER_CONFIG=/nowhere"}}); err != nil {
		t.Errorf("File does not go over %s: %v", envFile, err)
	}
}

func TestLoad_HigherLayerReplacesOtherFormOfSecret(t *testing.T) {
	t.Parallel()
	text := minimal + "order: {secret_file: nowhere}\nnats: {creds_file: nowhere}\n"
	c := mustLoad(t, Options{File: writeConfig(t, text), Environ: []string{
		"REDOXWORKER_ORDER_SECRET=by-value-of-16-bytes-or-more", "REDOXWORKER_NATS_TOKEN=token", "REDOXWORKER_KEYS_MAIN_PRIVATE_KEY=" + newPEM(t)}})
	if c.Order.Secret.Reveal() != "by-value-of-16-bytes-or-more" || c.Order.SecretFile != "" {
		t.Errorf("order: %q, %q", c.Order.Secret.Reveal(), c.Order.SecretFile)
	}
	if c.NATS.Token.Reveal() != "token" || c.NATS.CredsFile != "" {
		t.Errorf("nats: %q, %q", c.NATS.Token.Reveal(), c.NATS.CredsFile)
	}
	if k := c.Keys["main"]; k.PrivateKeyFile != "" || !k.PrivateKey.IsSet() || k.ClientID != "client-1" {
		t.Errorf("key: %+v", k)
	}
	if o := c.Origin("order.secret_file"); o != "default" {
		t.Errorf("origin of what was replaced: %s", o)
	}
}
