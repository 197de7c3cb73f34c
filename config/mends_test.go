package config

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
)

// given are settings besides those of minimal, by dotted key.
type given map[string]any

// aConsole is one that somebody can sign in to.
var aConsole = given{"console.listen": "127.0.0.1:8467", "console.tokens": oneToken, "console.viewers": "*"}

// settingsMends are mistakes, what the problem says to do about each, and the settings of
// somebody who has done it: one for each way that it names. "" takes a setting away.
var settingsMends = []struct {
	wrong  given
	says   string
	mended []given
}{
	{given{"nats.prefix": "Redox"}, "use 1 to 32 of a-z, 0-9 and -", []given{{"nats.prefix": "redox-1"}}},
	{given{"nats.inbox_prefix": "_INBOX.*"}, "use tokens with dots between them, without wildcards", []given{{"nats.inbox_prefix": "_INBOX.a"}}},
	{given{"nats.creds": "no credentials"}, "give the file that nsc generate creds wrote; a path belongs in nats.creds_file",
		[]given{{"nats.creds": credentials}, {"nats.creds": "", "nats.creds_file": "nats.creds"}}},
	{given{"nats.nkey": "UABC"}, "give a seed that begins with SU; a path belongs in nats.nkey_file", []given{{"nats.nkey": "SUABC"}, {"nats.nkey": "", "nats.nkey_file": "nats.seed"}}},
	{given{"nats.user": "a", "nats.password": "b", "nats.nkey": "SUABC"}, "keep one of", []given{{"nats.nkey": ""}, {"nats.user": "", "nats.password": ""}}},
	{given{"nats.nkey": "SUABC", "nats.nkey_file": "nats.seed"}, "keep nats.nkey or nats.nkey_file", []given{{"nats.nkey": ""}, {"nats.nkey_file": ""}}},
	{given{"nats.user": "a"}, "set both or none", []given{{"nats.password": "b"}, {"nats.user": ""}}},
	{given{"nats.tls.key_file": "key.pem"}, "set both or none", []given{{"nats.tls.cert_file": "key.pem"}, {"nats.tls.key_file": ""}}},
	{given{"nats.context": "a", "console.nats.token": "t"}, "set it to the servers, or take nats.context away", []given{{"console.nats.url": "nats://127.0.0.1:4222"}, {"nats.context": ""}}},
	{given{"nats.context": "a", "console.nats.url": "nats://b"}, "set a way to log in there, such as console.nats.creds_file, or take it away",
		[]given{{"console.nats.creds_file": "nats.creds"}, {"console.nats.url": ""}, {"console.nats.url": "nats://c:d@b"}}},
	{given{"nats.url": "nats://a:b@c", "console.nats.token": "t"}, "set it to the servers, or move the user to nats.user and nats.password",
		[]given{{"console.nats.url": "nats://c"}, {"nats.url": "nats://c", "nats.user": "a", "nats.password": "b"}}},
	{given{"console.nats.url": "nats://a:b@c", "console.nats.token": "t"}, "keep one of them", []given{{"console.nats.token": ""}, {"console.nats.url": "nats://c"}}},
	{given{"redox.client_cert_file": "key.pem"}, "set both or none", []given{{"redox.client_key_file": "key.pem"}, {"redox.client_cert_file": ""}}},
	{given{"redox.endpoint_path": "endpoint"}, "write a path such as /endpoint", []given{{"redox.endpoint_path": "/endpoint"}}},
	{given{"redox.fhir_path": "fhir/R4"}, "write a path such as /fhir/R4/", []given{{"redox.fhir_path": "/fhir/R4/"}}},
	{given{"redox.proxy_url": "none"}, "write a URL such as http://proxy.example:3128", []given{{"redox.proxy_url": "http://proxy.example:3128"}}},
	{given{"redox.organization_id": "a b"}, "copy the organization's id from Redox's dashboard", []given{{"redox.organization_id": "123"}}},
	{given{"order.secret": "short"}, "give at least 16 random ones", []given{{"order.secret": "0123456789abcdef"}}},
	{given{"worker.retry.initial": "11m"}, "give at most worker.retry.max, or raise that", []given{{"worker.retry.initial": "10m"}, {"worker.retry.max": "11m"}}},
	{given{"outbox.table": "Outbox"}, "use 1 to 40 of a-z, 0-9 and _, a letter first", []given{{"outbox.table": "outbox_1"}}},
	{given{"outbox.driver": "sqlite"}, "name a file that says where the database is, or leave outbox.driver out", []given{{"outbox.dsn_file": "secret.txt"}, {"outbox.driver": ""}}},
	{given{"outbox.driver": "sqlite", "outbox.dsn": "app.db", "outbox.notify": true}, "leave outbox.notify out, or set outbox.driver to postgres", []given{{"outbox.notify": ""}, {"outbox.driver": "postgres"}}},
	{given{"quota.group": "A"}, "use 1 to 64 of a-z, 0-9 and -", []given{{"quota.group": "a-0"}}},
	{given{"admin.listen": "8466"}, "write an address such as 127.0.0.1:8466, or off", []given{{"admin.listen": "127.0.0.1:8466"}, {"admin.listen": "off"}}},
	{given{"console.listen": "8467"}, "write an address such as 127.0.0.1:8467, or unix:/run/redoxworker/console.sock", []given{aConsole, with(aConsole, given{"console.listen": "unix:/run/redoxworker/console.sock"})}},
	{given{"console.base_path": "ops"}, "write a path such as /ops/redox", []given{{"console.base_path": "/ops/redox"}}},
	{given{"console.trusted_proxies": "proxy"}, "write addresses such as 10.0.0.7, and networks such as 10.0.0.0/24", []given{{"console.trusted_proxies": "10.0.0.7,10.0.0.0/24"}}},
	{given{"console.tokens": "ann"}, "write what `redoxworker console-token NAME` prints", []given{{"console.tokens": oneToken}}},
	{given{"console.session_key": "short"}, "write what `openssl rand -hex 32` prints", []given{{"console.session_key": strings.Repeat("0123", 16)}}},
	{given{"console.operators": "group: for clinic-*"}, "write a NAME, group:NAME or *, and to limit it for and patterns of sources: group:ops for clinic-* lab",
		[]given{{"console.operators": "ann"}, {"console.operators": "*"}, {"console.operators": "group:ops for clinic-* lab"}}},
	{with(aConsole, given{"console.listen": ":8467"}), "listen on 127.0.0.1, or put a proxy with TLS in front and set console.behind_proxy", []given{{"console.listen": "127.0.0.1:8467"}, {"console.behind_proxy": true}}},
	{with(aConsole, given{"console.listen": ":8467", "console.auth": "none"}), "choose another way to sign in, or listen on 127.0.0.1 without console.behind_proxy",
		[]given{{"console.listen": "127.0.0.1:8467"}, {"console.auth": "token", "console.behind_proxy": true}}},
	{with(aConsole, given{"console.listen": "unix:/run/redoxworker/console.sock", "console.auth": "proxy", "console.trusted_proxies": "127.0.0.1", "console.proxy.secret": "between-us"}), "listen on 127.0.0.1, or choose another console.auth",
		[]given{{"console.listen": "127.0.0.1:8467"}, {"console.auth": "token"}}},
	{with(aConsole, given{"console.auth": "basic"}), "set it, or choose another console.auth", []given{{"console.users_file": "secret.txt"}, {"console.auth": "token"}}},
	{with(aConsole, given{"console.viewers": ""}), "name somebody who may, or * for all who sign in", []given{{"console.viewers": "ann"}, {"console.viewers": "*"}, {"console.admins": "ann"}}},
	{given{"keys.main.client_id": ""}, "copy it from Redox's dashboard", []given{{"keys.main.client_id": "client-1"}}},
	{given{"keys.main.kid": ""}, "set the key id that Redox knows this key by", []given{{"keys.main.kid": "kid-1"}}},
	{given{"keys.main.private_key_file": ""}, "make one with `redoxworker keys new`", []given{{"keys.main.private_key_file": "key.pem"}}},
	{given{"keys.main.private_key_file": "missing.pem"}, "check the path and who may read it", []given{{"keys.main.private_key_file": "key.pem"}}},
	{given{"keys.main.private_key_file": "empty.pem"}, "fill it, or name another file", []given{{"keys.main.private_key_file": "key.pem"}}},
	{given{"keys.main.private_key_file": "", "keys.main.private_key": "key.pem"}, "give a private key; a path belongs in keys.main.private_key_file", []given{{"keys.main.private_key": "", "keys.main.private_key_file": "key.pem"}}},
	{given{"keys.main.private_key_file": "public.pem"}, "give the private half, a PRIVATE KEY block", []given{{"keys.main.private_key_file": "key.pem"}}},
	{given{"keys.main.private_key_file": "public.jwk"}, "give the private half, which has a d", []given{{"keys.main.private_key_file": "private.jwk", "keys.main.kid": "k"}}},
	{given{"keys.main.private_key_file": "private.jwk"}, "use the key id that Redox knows this key by, or leave kid out", []given{{"keys.main.kid": "k"}, {"keys.main.kid": ""}}},
	{given{"keys.main.private_key_file": "damaged.jwk"}, "give the JWK that `redoxworker keys new` wrote", []given{{"keys.main.private_key_file": "private.jwk", "keys.main.kid": "k"}}},
	{given{"keys.main.private_key_file": "set.jwk"}, "give one JWK", []given{{"keys.main.private_key_file": "private.jwk", "keys.main.kid": "k"}}},
	{given{"keys.main.next.kid": "n"}, "or remove next", []given{{"keys.main.next.private_key_file": "key.pem"}, {"keys.main.next.kid": ""}}},
	{given{"keys.main.next.kid": "kid-1", "keys.main.next.private_key_file": "key.pem"}, "give each key pair its own", []given{{"keys.main.next.kid": "n"}}},
	{given{"keys.main.mode": "per-request", "keys.main.pool": 2}, "remove it, or set keys.main.mode to cached", []given{{"keys.main.pool": ""}, {"keys.main.mode": "cached"}}},
	{given{"sources.clinic-a.id": ""}, "copy the Source ID from Redox's dashboard", []given{{"sources.clinic-a.id": clinicB}}},
	{given{"sources.clinic-a.id": "1"}, "copy the Source ID from Redox's dashboard", []given{{"sources.clinic-a.id": clinicB}}},
	{given{"sources.clinic-a.hold": "Order"}, "write a pattern such as Order.New, Order.* or *.Delete", []given{{"sources.clinic-a.hold": "Order.New,Order.*,*.Delete"}}},
	{given{"keys.main.type": "user", "sources.clinic-a.hold": "Order.New"}, "remove it, or give the source a key of type oauth", []given{{"sources.clinic-a.hold": ""}, {"keys.main.type": "oauth"}}},
	{given{"keys.main.type": "user", "keys.main.scope": "fhir:production"}, "remove the fhir: scopes, or set keys.main.type to oauth", []given{{"keys.main.scope": ""}, {"keys.main.type": "oauth", "sources.clinic-a.environment": "production"}}},
	{given{"keys.main.scope": "fhir:staging", "sources.clinic-a.environment": "production"}, "add fhir:production, or remove the scope", []given{{"keys.main.scope": "fhir:staging fhir:production"}, {"keys.main.scope": ""}}},
	{given{"sources.clinic-b.id": sameAsA, "sources.clinic-b.key": "main"}, "use one source where messages must stay in order", []given{{"sources.clinic-b.id": clinicB}}},
	{given{"sources.clinic-b.id": clinicB, "sources.clinic-b.key": "main", "sources.clinic-b.environment": "staging", "sources.clinic-a.environment": "production"},
		"give each environment a key of its own", []given{{"sources.clinic-b.key": "other", "keys.other.client_id": "client-2", "keys.other.kid": "k2", "keys.other.private_key_file": "key.pem"}}},
	{given{"reconcile.interval": "2d"}, "give at most reconcile.give_up, or raise that", []given{{"reconcile.interval": "1d"}, {"reconcile.give_up": "2d"}}},
	{given{"reconcile.enabled": true, "redox.organization_id": "1"}, "make a user-level key in Redox's dashboard", []given{userKey}},
	{given{"reconcile.enabled": true, "keys.person.type": "user", "keys.person.client_id": "p", "keys.person.kid": "p", "keys.person.private_key_file": "key.pem"},
		"copy the organization's id from Redox's dashboard", []given{{"redox.organization_id": "1"}}},
	{given{"reconcile.enabled": true, "redox.organization_id": "1", "reconcile.key": "main"}, "name one of type user", []given{with(userKey, given{"reconcile.key": "person"})}},
	{given{"worker.concurrency": "many"}, "write a number such as 16", []given{{"worker.concurrency": "16"}}},
	{given{"quota.reserve_requests": "some"}, "write a number such as 0.2", []given{{"quota.reserve_requests": "0.2"}}},
	{given{"gateway.enabled": "maybe"}, "write true or false", []given{{"gateway.enabled": "true"}, {"gateway.enabled": "false"}}},
	{given{"redox.timeout": "150"}, "write a number and a unit, such as 150s, 5m, 24h or 7d", []given{{"redox.timeout": "150s"}, {"redox.timeout": "5m"}, {"worker.retry.max_age": "7d", "redox.timeout": "5m"}}},
	{given{"redox.max_body": "ten"}, "write bytes, or a number and a unit, such as 10MB or 8MiB", []given{{"redox.max_body": "10MB"}, {"redox.max_body": "8MiB"}, {"redox.max_body": "10000000"}}},
	{given{"sources_dir": "missing"}, "check the path and who may read it, or make the directory", []given{{"sources_dir": "."}}},
	{given{"keys.main.private_key_file": "-----BEGIN"}, "give the path of a file", []given{{"keys.main.private_key_file": "key.pem"}}},
	{given{"sources.clinic-a.key": "other"}, "add keys.other", []given{{"keys.other.client_id": "o", "keys.other.kid": "o", "keys.other.private_key_file": "key.pem"}}},
	{given{"sources.clinic-a.key": "mian"}, "did you mean main?", []given{{"sources.clinic-a.key": "main"}}},
	{given{"sources.clinic-a.key": ""}, "name one of keys", []given{{"sources.clinic-a.key": "main"}}},
}

const (
	sameAsA     = "7ce6f387-c33c-417d-8682-81e83628cbd9"
	clinicB     = "af394f14-b34a-464f-8d24-895f370af4c9"
	credentials = "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n"
)

var userKey = given{"keys.person.type": "user", "keys.person.client_id": "p", "keys.person.kid": "p", "keys.person.private_key_file": "key.pem"}

func with(all ...given) given {
	sum := given{}
	for _, g := range all {
		maps.Copy(sum, g)
	}
	return sum
}

// Whoever does what a problem says has no problem any more, and no warning.
func TestLoad_MendsLeadSomewhere(t *testing.T) {
	file := writeConfig(t, minimal)
	dir := strings.TrimSuffix(file, "redoxworker.yaml")
	t.Chdir(dir)
	key := newPEM(t)
	for name, text := range map[string]string{
		"nats.creds": credentials, "nats.seed": "SUABC", "empty.pem": "\n", "public.pem": strings.ReplaceAll(key, "PRIVATE", "PUBLIC"),
		"public.jwk": `{"kty":"EC","kid":"k"}`, "private.jwk": `{"kty":"EC","kid":"k","d":"x"}`, "damaged.jwk": "{", "set.jwk": `{"keys":[]}`,
	} {
		write(t, dir, name, text)
	}
	said := func(g given) string {
		c, err := Load(Options{File: file, Flags: g})
		if err != nil {
			return err.Error()
		}
		var all []error
		for _, w := range c.Warnings() {
			all = append(all, errors.New(fmt.Sprint(w)))
		}
		if err := errors.Join(all...); err != nil {
			return err.Error()
		}
		return ""
	}
	mends := 0
	for _, row := range settingsMends {
		text := said(row.wrong)
		if text == "" || !strings.Contains(text, row.says) {
			t.Errorf("%v: %q, want %q", row.wrong, text, row.says)
			continue
		}
		for _, mend := range row.mended {
			mends++
			if left := said(with(row.wrong, mend)); left != "" {
				t.Errorf("%s\n\tafter %v: %s", text, mend, left)
			}
		}
	}
	t.Logf("%d texts, %d mends", len(settingsMends), mends)
}
