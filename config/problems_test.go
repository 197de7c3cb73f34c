package config

import (
	"strings"
	"testing"
)

// wrong lists one change to the minimal settings and what is said of it.
var wrong = []struct{ name, text, want string }{
	{"unknown section", "natz: {url: x}", `natz: unknown key; did you mean nats? (redoxworker.yaml:11)`},
	{"unknown key", "nats: {urll: x}", `nats.urll: unknown key; did you mean nats.url? (redoxworker.yaml:11)`},
	{
		"key of another section",
		"timeout: 3s",
		`timeout: unknown key; did you mean redox.timeout? (redoxworker.yaml:11)`,
	},
	{
		"unknown without likeness",
		"zzzzzzz: hunter2",
		"zzzzzzz: unknown key; remove it; `redoxworker config schema` lists every key (redoxworker.yaml:11)",
	},
	{
		"dotted key",
		"nats.url: nats://x",
		"nats.url: unknown key; write nats: and below it, indented, url (redoxworker.yaml:11)",
	},
	{
		"twice",
		"log: {level: info}\nlog: {level: debug}",
		`log: is set twice, first on line 11; keep one (redoxworker.yaml:12)`,
	},
	{
		"twice below",
		"log:\n  level: info\n  level: debug",
		`log.level: is set twice, first on line 12; keep one (redoxworker.yaml:13)`,
	},
	{
		"section is text",
		"log: info",
		`log: must be a section with keys below it, not a plain value; write its keys on lines of their own, indented (redoxworker.yaml:11)`,
	},
	{
		"value is a section",
		"log: {level: {a: b}}",
		`log.level: must be a text, not a section; write one plain text (redoxworker.yaml:11)`,
	},
	{
		"value is a list",
		"worker: {ack_wait: [1s]}",
		`worker.ack_wait: must be a duration, not a list; write a number and a unit, such as 150s, 5m, 24h or 7d (redoxworker.yaml:11)`,
	},
	{
		"list of sections",
		"reply: {allow: [a, {b: c}]}",
		`reply.allow: must be a list of texts, and one of them is a section; write a list such as ["one", "two"] (redoxworker.yaml:11)`,
	},
	{
		"tag",
		"log: {level: !vault hunter2}",
		`log.level: must be a text, not a value with a tag; write one plain text (redoxworker.yaml:11)`,
	},
	{
		"no unit",
		"redox: {timeout: 150}",
		`redox.timeout: "150" has no unit; write a number and a unit, such as 150s, 5m, 24h or 7d (redoxworker.yaml:11)`,
	},
	{
		"wrong unit",
		"redox: {timeout: 3 weeks}",
		`redox.timeout: "3 weeks" is not a value with a known unit; write a number and a unit, such as 150s, 5m, 24h or 7d (redoxworker.yaml:11)`,
	},
	{
		"negative duration",
		"dlq: {max_age: -1s}",
		`dlq.max_age: "-1s" is not a value with a known unit; write a number and a unit, such as 150s, 5m, 24h or 7d (redoxworker.yaml:11)`,
	},
	{
		"wrong size",
		"redox: {max_body: 10 megs}",
		`redox.max_body: "10 megs" is not a value with a known unit; write bytes, or a number and a unit, such as 10MB or 8MiB (redoxworker.yaml:11)`,
	},
	{
		"no size",
		"redox: {max_body: 0}",
		`redox.max_body: "0" is too small; give at least 1 (redoxworker.yaml:11)`,
	},
	{
		"not an integer",
		"worker: {concurrency: 1.5}",
		`worker.concurrency: "1.5" is not a whole number; write a number such as 16 (redoxworker.yaml:11)`,
	},
	{
		"too many at once",
		"worker: {concurrency: 10001}",
		`worker.concurrency: "10001" is too large; give at most 10000 (redoxworker.yaml:11)`,
	},
	{
		"none at once",
		"worker: {concurrency: 0}",
		`worker.concurrency: "0" is too small; give at least 1 (redoxworker.yaml:11)`,
	},
	{
		"replicas",
		"nats: {replicas: 2}",
		`nats.replicas: "2" is not one of 1, 3, 5; choose one (redoxworker.yaml:11)`,
	},
	{
		"short lease",
		"worker: {ack_wait: 999ms}",
		`worker.ack_wait: "999ms" is too small; give at least 1s (redoxworker.yaml:11)`,
	},
	{
		"reserve",
		"quota: {reserve_requests: 1}",
		`quota.reserve_requests: "1" is too large; give less than 1 (redoxworker.yaml:11)`,
	},
	{
		"reserve is no number",
		"quota: {reserve_requests: .nan}",
		`quota.reserve_requests: ".nan" is not a number; write a number such as 0.2 (redoxworker.yaml:11)`,
	},
	{
		"reserve is NaN",
		"quota: {reserve_requests: NaN}",
		`quota.reserve_requests: "NaN" is not a number; write a number such as 0.2 (redoxworker.yaml:11)`,
	},
	{
		"not a boolean",
		"gateway: {enabled: maybe}",
		`gateway.enabled: "maybe" is neither true nor false; write true or false (redoxworker.yaml:11)`,
	},
	{
		"level",
		"log: {level: wran}",
		`log.level: "wran" is not one of debug, info, warn, error; did you mean warn? (redoxworker.yaml:11)`,
	},
	{
		"format",
		"log: {format: xml}",
		`log.format: "xml" is not one of auto, tint, json; choose one (redoxworker.yaml:11)`,
	},
	{
		"two lines",
		"log: {format: \"a\\nb\"}",
		`log.format: holds several lines; give one line (redoxworker.yaml:11)`,
	},
	{
		"retry",
		"worker: {retry: {initial: 1h}}",
		`worker.retry.initial: 1h is longer than worker.retry.max (10m); give at most worker.retry.max, or raise that (redoxworker.yaml:11)`,
	},
	{
		"prefix",
		"nats: {prefix: Redox}",
		`nats.prefix: "Redox" is not a prefix; use 1 to 32 of a-z, 0-9 and - (redoxworker.yaml:11)`,
	},
	{
		"inbox",
		"nats: {inbox_prefix: a.*}",
		`nats.inbox_prefix: "a.*" is not a subject; use tokens with dots between them, without wildcards (redoxworker.yaml:11)`,
	},
	{
		"servers",
		"nats: {url: \"nats://a,http://b\"}",
		`nats.url: "nats://a,http://b" has a scheme that NATS does not know; write servers with commas between them, such as nats://10.0.0.1:4222,nats://10.0.0.2:4222 (redoxworker.yaml:11)`,
	},
	{
		"servers with a password",
		"nats: {url: \"nats://u:hunter2@a:port\"}",
		`nats.url: "nats://[redacted]@a:port" is not a list of NATS servers; write servers with commas between them, such as nats://10.0.0.1:4222,nats://10.0.0.2:4222 (redoxworker.yaml:11)`,
	},
	{
		"plain http",
		"redox: {base_url: \"http://api.redoxengine.com\"}",
		`redox.base_url: "http://api.redoxengine.com" would send tokens and patient data in the clear; use https; http is for loopback hosts only (redoxworker.yaml:11)`,
	},
	{
		"http with a name that begins like loopback",
		"redox: {token_url: \"http://127.0.0.1.example/t\"}",
		`redox.token_url: "http://127.0.0.1.example/t" would send tokens and patient data in the clear; use https; http is for loopback hosts only (redoxworker.yaml:11)`,
	},
	{
		"no scheme",
		"redox: {blob_url: blob.redoxengine.com}",
		`redox.blob_url: "blob.redoxengine.com" is not an https URL; write a URL such as https://api.redoxengine.com (redoxworker.yaml:11)`,
	},
	{
		"user in a URL",
		"redox: {base_url: \"https://u:hunter2@host\"}",
		`redox.base_url: "https://[redacted]@host" holds a user or password; write a URL such as https://api.redoxengine.com (redoxworker.yaml:11)`,
	},
	{
		"query in a URL",
		"redox: {base_url: \"https://host/a?k=hunter2\"}",
		`redox.base_url: "https://host/a" has a query or a fragment behind it; write a URL such as https://api.redoxengine.com (redoxworker.yaml:11)`,
	},
	{
		"port of a URL",
		"redox: {legacy_url: \"https://host:70000\"}",
		`redox.legacy_url: "https://host:70000" has a bad port; write a URL such as https://api.redoxengine.com (redoxworker.yaml:11)`,
	},
	{
		"proxy",
		"redox: {proxy_url: \"ftp://u:hunter2@host\"}",
		`redox.proxy_url: "ftp://[redacted]@host" is not an http, https or socks5 URL; write a URL such as http://proxy.example:3128 (redoxworker.yaml:11)`,
	},
	{
		"endpoint",
		"redox: {endpoint_path: /a/../b}",
		`redox.endpoint_path: "/a/../b" is not a path below base_url; write a path such as /endpoint (redoxworker.yaml:11)`,
	},
	{
		"listen",
		"admin: {listen: localhost}",
		`admin.listen: "localhost" is not host:port; write an address such as 127.0.0.1:8466, or off (redoxworker.yaml:11)`,
	},
	{
		"listen port",
		"admin: {listen: \":99999\"}",
		`admin.listen: ":99999" is not host:port; write an address such as 127.0.0.1:8466, or off (redoxworker.yaml:11)`,
	},
	{
		"group",
		"quota: {group: a b}",
		`quota.group: "a b" is not a name; use 1 to 64 of a-z, 0-9 and - (redoxworker.yaml:11)`,
	},
	{
		"file is missing",
		"redox: {ca_file: nowhere.pem}",
		`redox.ca_file: file "nowhere.pem" does not exist; check the path and who may read it (redoxworker.yaml:11)`,
	},
	{
		"file is a directory",
		"redox: {ca_file: .}",
		`redox.ca_file: file "DIR" is a directory; check the path and who may read it (redoxworker.yaml:11)`,
	},
	{
		"key text as a path",
		"redox: {ca_file: \"-----BEGIN CERTIFICATE-----hunter2\"}",
		`redox.ca_file: holds the text of a key, not a path; give the path of a file (redoxworker.yaml:11)`,
	},
	{
		"value and file",
		"order: {secret: hunter2, secret_file: secret.txt}",
		`order.secret: is given by value and by file; keep order.secret or order.secret_file (redoxworker.yaml:11)`,
	},
	{
		"short order secret",
		"order: {secret: hunter2}",
		`order.secret: has 7 bytes; give at least 16 random ones (redoxworker.yaml:11)`,
	},
	{
		"redaction mark",
		"order: {secret: \"[redacted]\"}",
		`order.secret: is the mark that stands for a secret; give the secret itself (redoxworker.yaml:11)`,
	},
	{
		"two logins",
		"nats: {creds: \"-----BEGIN NATS USER JWT-----\", token_file: secret.txt}",
		`nats.token_file: is a second way to log in besides nats.creds; keep one of nats.creds, nats.token_file (redoxworker.yaml:11)`,
	},
	{
		"user without password",
		"nats: {user: me}",
		`nats.user: is set without nats.password; set both or none (redoxworker.yaml:11)`,
	},
	{
		"password without user",
		"nats: {password_file: secret.txt}",
		`nats.password_file: is set without nats.user; set both or none (redoxworker.yaml:11)`,
	},
	{
		"certificate without key",
		"nats: {tls: {cert_file: key.pem}}",
		`nats.tls.cert_file: is set without nats.tls.key_file; set both or none (redoxworker.yaml:11)`,
	},
	{
		"client certificate without key",
		"redox: {client_cert_file: key.pem}",
		`redox.client_cert_file: is set without redox.client_key_file; set both or none (redoxworker.yaml:11)`,
	},
	{
		"key without client certificate",
		"redox: {client_key_file: key.pem}",
		`redox.client_key_file: is set without redox.client_cert_file; set both or none (redoxworker.yaml:11)`,
	},
	{
		"creds",
		"nats: {creds_file: secret.txt}",
		`nats.creds_file: is not the text of a NATS credentials file; give the file that nsc generate creds wrote; a path belongs in nats.creds_file (redoxworker.yaml:11)`,
	},
	{
		"nkey",
		"nats: {nkey: hunter2}",
		`nats.nkey: is not the seed of a user; give a seed that begins with SU; a path belongs in nats.nkey_file (redoxworker.yaml:11)`,
	},
	{
		"reply.allow",
		"reply: {allow: [\">\", a.b]}",
		`reply.allow: ">" covers subjects of the server and of redox.out; begin with a plain token (redoxworker.yaml:11)`,
	},
	{
		"second document",
		"---\nlog: {level: debug}",
		`config: holds a second YAML document; keep one, without --- between parts (redoxworker.yaml:11)`,
	},
}

func TestLoad_Problems(t *testing.T) {
	t.Parallel()
	for _, tt := range wrong {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := writeConfig(t, minimal+tt.text+"\n")
			got := problemsOf(t, Options{File: file})
			for i := range got {
				got[i] = strings.ReplaceAll(got[i], strings.TrimSuffix(file, "/redoxworker.yaml"), "DIR")
			}
			diff(t, []string{tt.want}, got)
		})
	}
}

func TestLoad_AllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	got := problemsOf(t, Options{
		File:    writeConfig(t, "nats: {urll: x}\nlog: {level: x}\nsources:\n  a: {id: x, key: nokey}\n"),
		Environ: []string{"REDOXWORKER_X_Y_Z=1", "REDOXWORKER_WORKER_ACK_WAIT=soon"},
		Flags:   map[string]any{"gateway.max_wiat": "1s", "quota.per": struct{}{}, "sources.A.id": "x"},
	})
	diff(t, []string{
		"nats.urll: unknown key; did you mean nats.url? (redoxworker.yaml:1)",
		"REDOXWORKER_X_Y_Z: unknown environment variable; unset it; a key's variable is REDOXWORKER_ and the key in upper case with _ for . and -",
		"gateway.max_wiat: unknown key; did you mean gateway.max_wait? (command line)",
		"quota.per: has a value of type struct {}; give text, a number, true or false, or a list (command line)",
		"sources.A.id: has a bad name after sources; use 1 to 64 of a-z, 0-9 and - (command line)",
		`worker.ack_wait: "soon" is not a value with a known unit; write a number and a unit, such as 150s, 5m, 24h or 7d (environment REDOXWORKER_WORKER_ACK_WAIT)`,
		`log.level: "x" is not one of debug, info, warn, error; choose one (redoxworker.yaml:2)`,
		"keys: no key is configured; name one below keys, with its client_id, kid and private_key_file",
		`sources.a.id: "x" is not a UUID; copy the Source ID from Redox's dashboard (redoxworker.yaml:4)`,
		`sources.a.key: no key is called "nokey"; add keys.nokey (redoxworker.yaml:4)`,
	}, got)
}

func TestLoad_BrokenFileSaysNothingElse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a: b: c\n":                     "config: not valid YAML: mapping values are not allowed in this context; check indentation and quotes near that line (redoxworker.yaml)",
		"log:\n\tlevel: info\n":         "config: not valid YAML: found character that cannot start any token; check indentation and quotes near that line (redoxworker.yaml:2)",
		"order: {secret: *hunter2 }\n":  "config: not valid YAML: unknown anchor referenced; check indentation and quotes near that line (redoxworker.yaml)",
		"- nats\n":                      "config: is a list, not settings; write key: value lines; `redoxworker config print` shows the form (redoxworker.yaml:1)",
		"just text":                     "config: is a plain value, not settings; write key: value lines; `redoxworker config print` shows the form (redoxworker.yaml:1)",
		strings.Repeat("# x\n", 400000): `config: file "redoxworker.yaml" is larger than 1 MiB; check --config and REDOXWORKER_CONFIG`,
	} {
		diff(t, []string{want}, problemsOf(t, Options{File: writeConfig(t, text)}))
	}
	_, err := Load(Options{File: "/nowhere/at.all"})
	if err == nil || err.Error() != `config: file "/nowhere/at.all" does not exist; check --config and REDOXWORKER_CONFIG` {
		t.Errorf("missing file: %v", err)
	}
}
