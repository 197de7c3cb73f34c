package config

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// trial is what somebody gives: a file, and what is set beside it.
type trial struct {
	file  string // its text; "" is minimal
	path  string // where it is said to be; "" is where it is
	env   []string
	flags given
	dir   map[string]string // files of sources_dir; nil: there is none
}

const (
	clinicC   = "b2c1a5f0-3d4e-4c6b-9a7f-0e1d2c3b4a59"
	ofClinicB = "keys:\n  other: {client_id: o, kid: o, private_key_file: ../key.pem}\nsources:\n  clinic-b: {id: " + clinicB + ", key: other}\n"
	twoLegacy = "keys:\n  old: {type: legacy, api_key: a, secret: s}\n  new: {client_id: c, kid: k, private_key_file: key.pem}\n  older: {type: legacy, api_key: b, secret: s}\n" +
		"sources:\n  a: {id: " + sameAsA + ", key: old}\n  b: {id: " + clinicB + ", key: old}\n"
	twoKeys = "keys:\n  main: {client_id: client-1, kid: kid-1, private_key_file: key.pem}\n  two: {type: TYPE, client_id: CLIENT, kid: k, private_key_file: key.pem}\n" +
		"sources:\n  clinic-a: {id: " + sameAsA + ", key: main}\n  clinic-b: {id: " + clinicB + ", key: two}\n"
	anchored = "keys:\n  main: &m {client_id: client-1, kid: kid-1, private_key_file: key.pem}\n  two: {<<: WHAT, client_id: b, kid: b}\n" +
		"sources:\n  clinic-a: {id: " + sameAsA + ", key: main}\n  clinic-b: {id: " + clinicB + ", key: two}\n"
)

func onFile(more string) trial { return trial{file: minimal + more} }
func inDir(text string) trial  { return trial{dir: map[string]string{"a.yaml": text}} }
func changed(text string, pairs ...string) trial {
	return trial{file: strings.NewReplacer(pairs...).Replace(text)}
}
func flagged(key string, value any) trial { return trial{flags: given{key: value}} }

func environment(v ...string) trial { return trial{env: v} }

// besideOne is a directory with ofClinicB and another file like it, with a key of that name.
func besideOne(key string) trial {
	return trial{dir: map[string]string{"a.yaml": ofClinicB,
		"b.yaml": strings.NewReplacer("clinic-b", "clinic-c", clinicB, clinicC, "client_id: o", "client_id: p", "other", key).Replace(ofClinicB)}}
}

// fileMends are mistakes in the form of a file, in the environment, in a directory of sources,
// and in several settings together.
var fileMends = []struct {
	says   string
	wrong  trial
	mended []trial
}{
	{"keep one, without --- between parts", onFile("---\nadmin: {}\n"), []trial{{}, onFile("admin: {}\n")}},
	{"write key: value lines; `redoxworker config print` shows the form", trial{file: "just text\n"}, []trial{{}}},
	{"check indentation and quotes near that line", onFile("admin:\n  listen: off\n listen: off\n"), []trial{onFile("admin:\n  listen: \"off\"\n")}},
	{"must be a section with keys below it, not a plain value; write its keys on lines of their own, indented", onFile("admin: off\n"), []trial{onFile("admin:\n  listen: \"off\"\n")}},
	{"write key: value", onFile("? [a, b]\n: c\n"), []trial{onFile("admin: {}\n")}},
	{"keep one", onFile("admin: {}\nadmin: {}\n"), []trial{onFile("admin: {}\n")}},
	{"write <<: *anchor", changed(anchored, "WHAT", "text"), []trial{changed(anchored, "WHAT", "*m")}},
	{"must be a whole number, not a list", onFile("worker: {concurrency: [1]}\n"), []trial{onFile("worker: {concurrency: 1}\n")}},
	{"must be a list of texts, and one of them is", onFile("reply: {allow: [[a]]}\n"), []trial{onFile("reply: {allow: [\"_INBOX.>\"]}\n")}},
	{`write a list such as ["one", "two"]`, onFile("reply: {allow: {a: b}}\n"), []trial{onFile("reply: {allow: [\"app.one\", \"app.two\"]}\n")}},
	{"write nats: and below it, indented, url", onFile("nats.url: nats://127.0.0.1:4222\n"), []trial{onFile("nats:\n  url: nats://127.0.0.1:4222\n")}},
	{"remove it; `redoxworker config schema` lists every key", onFile("zzzzzzzz: 1\n"), []trial{{}}},
	{"write less, and without nested aliases", onFile("admin: &a\n  <<: *a\n  listen: \"off\"\n"), []trial{onFile("admin:\n  listen: \"off\"\n")}},
	{"write less, and without nested aliases", onFile("reply: {allow: [a" + strings.Repeat(", a", maxNodes) + "]}\n"), []trial{onFile("reply: {allow: [a]}\n")}},
	{"name one below keys, with its client_id, kid and private_key_file", trial{file: "sources:\n  clinic-a: {id: " + sameAsA + "}\n"}, []trial{{}}},
	{"name one below sources, with its id and key", trial{file: "keys:\n  main: {client_id: c, kid: k, private_key_file: key.pem}\n"}, []trial{{}}},
	{"give each source its own legacy key, or move both to a key of type oauth", trial{file: twoLegacy},
		[]trial{changed(twoLegacy, clinicB+", key: old", clinicB+", key: older"), changed(twoLegacy, ", key: old", ", key: new")}},
	{"set both to the type that Redox's dashboard shows, or give each its own client id", changed(twoKeys, "TYPE", "user", "CLIENT", "client-1"),
		[]trial{changed(twoKeys, "TYPE", "oauth", "CLIENT", "client-1"), changed(twoKeys, "TYPE", "user", "CLIENT", "client-2")}},
	{"decrypt it with openssl pkey, and keep the file private", changed(minimal, "key.pem", "locked.pem"), []trial{{}}},
	{"check --config and REDOXWORKER_CONFIG", trial{path: "nowhere.yaml"}, []trial{{}}},
	{"rename one of the two, or set it in the file", trial{file: changed(twoKeys, "two", "main-next", "TYPE", "user", "CLIENT", "p").file, env: []string{"REDOXWORKER_KEYS_MAIN_NEXT_KID=n"}},
		[]trial{{file: changed(twoKeys, "two", "second", "TYPE", "user", "CLIENT", "p").file, env: []string{"REDOXWORKER_KEYS_SECOND_KID=n"}},
			changed(twoKeys, "two", "main-next", "TYPE", "user", "CLIENT", "p", "kid: k", "kid: n")}},
	{"unset it; a key's variable is REDOXWORKER_ and the key in upper case with _ for . and -", environment("REDOXWORKER_ZZZZZZZZZZ=1"),
		[]trial{{}, environment("REDOXWORKER_NATS_INBOX_PREFIX=_INBOX.a")}},
	{"it names a section; set the keys below it, such as REDOXWORKER_ADMIN_LISTEN", environment("REDOXWORKER_ADMIN=off"), []trial{environment("REDOXWORKER_ADMIN_LISTEN=off")}},
	{"give text, a number, true or false, or a list", flagged("admin.listen", struct{}{}),
		[]trial{flagged("admin.listen", "off"), flagged("worker.concurrency", 3), flagged("gateway.enabled", false), flagged("reply.allow", []string{"a.>"})}},
	{"write it as UTF-8", environment("REDOXWORKER_REDOX_ENDPOINT_PATH=/\xff"), []trial{environment("REDOXWORKER_REDOX_ENDPOINT_PATH=/ü")}},
	{"give the secret itself", flagged("order.secret", "[redacted]"), []trial{flagged("order.secret", "0123456789abcdef")}},
	{"give one line", flagged("keys.main.kid", "a\nb"), []trial{flagged("keys.main.kid", "a")}},
	{"write one plain text", onFile("log: {level: [info]}\n"), []trial{onFile("log: {level: info}\n")}},
	{"write the path of a file", onFile("redox: {ca_file: [key.pem]}\n"), []trial{onFile("redox: {ca_file: key.pem}\n")}},
	{"write the path of a directory", onFile("sources_dir: [.]\n"), []trial{{dir: map[string]string{}}}},
	{"begin with a plain token", flagged("reply.allow", "*.a"), []trial{flagged("reply.allow", "a.*")}},
	{"begin with a plain token that is not redox", trial{file: strings.ReplaceAll(minimal, "clinic-a", "x"), flags: given{"reply.allow": "redo{source}.a"}}, []trial{flagged("reply.allow", "app.{source}.a")}},
	{"choose one", flagged("log.level", "zzzzzzz"), []trial{flagged("log.level", "info")}},
	{"give less than 1", flagged("quota.reserve_requests", "1"), []trial{flagged("quota.reserve_requests", "0.9")}},
	{"write servers with commas between them, such as", flagged("nats.url", "127.0.0.1;4222"), []trial{flagged("nats.url", "nats://10.0.0.1:4222,nats://10.0.0.2:4222")}},
	{"write a URL such as https://api.redoxengine.com", flagged("redox.base_url", "redox"), []trial{flagged("redox.base_url", "https://api.redoxengine.com")}},
	{"use https; http is for loopback hosts only", flagged("redox.base_url", "http://h"), []trial{flagged("redox.base_url", "https://h"), flagged("redox.base_url", "http://127.0.0.1:1")}},
	{"write a pattern such as _INBOX.> or app.{source}.replies.>", flagged("reply.allow", "a b"), []trial{flagged("reply.allow", "_INBOX.>,app.{source}.replies.>")}},
	{"allow subjects of applications only", flagged("reply.allow", "$JS.>"), []trial{flagged("reply.allow", "app.>")}},
	{"remove it; redox.reply.{source}.> is always allowed", flagged("reply.allow", "redox.out.>"), []trial{{}}},
	{"write names such as Prefer, or X-* for all that begin so", flagged("redox.headers", "Prefer: a"), []trial{flagged("redox.headers", "Prefer,X-*")}},
	{"set it in the main file, and start the worker anew", inDir(ofClinicB + "admin: {listen: 'off'}\n"),
		[]trial{{file: minimal + "admin: {listen: 'off'}\n", dir: map[string]string{"a.yaml": ofClinicB}}}},
	{"put it into a file of its own, and name that as keys.other.private_key_file; or set REDOXWORKER_KEYS_OTHER_PRIVATE_KEY",
		inDir(strings.Replace(ofClinicB, "private_key_file: ../key.pem", "private_key: x", 1)), []trial{inDir(ofClinicB)}},
	{"remove the file to remove its sources", inDir("{}\n"), []trial{{dir: map[string]string{}}}},
	{"check who may read it, or remove it", trial{dir: map[string]string{"a.yaml/x": ""}}, []trial{{dir: map[string]string{}}, inDir(ofClinicB)}},
	{"keep one of the two", inDir(strings.Replace(ofClinicB, "clinic-b", "clinic-a", 1)), []trial{inDir(ofClinicB)}},
	{"give the key a name that no other has", besideOne("other"), []trial{besideOne("another")}},
}

// said is everything that is wrong with what is given, or unwise.
func (g trial) said(t *testing.T, key string) string {
	t.Helper()
	file := write(t, t.TempDir(), "redoxworker.yaml", cmp.Or(g.file, minimal))
	at := filepath.Dir(file)
	write(t, at, "key.pem", key)
	write(t, at, "locked.pem", strings.ReplaceAll(key, "PRIVATE", "ENCRYPTED PRIVATE"))
	o := Options{File: file, Environ: g.env, Flags: g.flags}
	if g.path != "" {
		o.File = filepath.Join(at, g.path)
	}
	if g.dir != nil {
		dir := filepath.Join(at, "sources.d")
		o.Flags = with(g.flags, given{"sources_dir": dir})
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, text := range g.dir {
			if strings.Contains(name, "/") {
				if err := os.Mkdir(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write(t, dir, name, text)
		}
	}
	c, err := Load(o)
	if err != nil {
		return err.Error()
	}
	set := Combine(c, ReadDir(c, o, nil).Parts, nil, nil)
	var lines []string
	for _, w := range append(c.Warnings(), set.Warnings...) {
		lines = append(lines, w.String())
	}
	for _, r := range set.Refused {
		for _, p := range r.Problems {
			lines = append(lines, p.String())
		}
	}
	return strings.Join(lines, "\n")
}

// The same for what is wrong with the form of a file, the environment, and a directory.
func TestLoad_MendsOfFilesLeadSomewhere(t *testing.T) {
	t.Parallel()
	key, all := newPEM(t), ""
	for _, row := range fileMends {
		text := row.wrong.said(t, key)
		all += text + "\n"
		if !strings.Contains(text, row.says) {
			t.Errorf("%q, want %q", text, row.says)
			continue
		}
		for i, mended := range row.mended {
			if left := mended.said(t, key); left != "" {
				t.Errorf("%s\n\tafter mend %d: %s", text, i+1, left)
			}
		}
	}
	for _, row := range settingsMends {
		all += row.says + "\n" // followed by TestLoad_MendsLeadSomewhere
	}
	for place, text := range mendsInSource(t) {
		if !tried(text, all) && !slices.ContainsFunc(mendsAlone, func(s string) bool { return strings.Contains(text, s) }) {
			t.Errorf("%s: nobody has done what it says: %q", place, text)
		}
	}
}
