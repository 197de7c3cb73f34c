package checkcmd

import (
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/sqlcmd"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// fault is one that is planted: how it is made, what finds it, and its mend, done as it is said.
type fault struct {
	plant func(w *world)
	finds string
	mend  func(w *world)
	as    status // fault where it is ""
	args  []string
	with  string // permissions of the user worker
}

// setTo is a fault that one setting is and another mends.
func setTo(finds string, s status, wrong, right string) fault {
	return fault{finds: finds, as: s, plant: func(w *world) { w.set = append(w.set, wrong) },
		mend: func(w *world) { w.set[len(w.set)-1] = right }}
}

// remade is a fault of the queue's consumers, which goes when they are removed.
func remade(finds string, c jetstream.ConsumerConfig) fault {
	return fault{finds: finds, plant: func(w *world) { w.consumer(c) },
		mend: func(w *world) { w.must(w.js.DeleteConsumer(w.Context(), "REDOX_OUT", c.Name)) }}
}

func ours(edit func(c *jetstream.ConsumerConfig)) jetstream.ConsumerConfig {
	c := jetstream.ConsumerConfig{Name: "clinic-a-send", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1,
		FilterSubjects: []string{"redox.out.clinic-a.send", "redox.out.clinic-a.send.>"}}
	edit(&c)
	return c
}

func (w *world) publish(subject string) {
	w.Helper()
	_, err := w.js.Publish(w.Context(), subject, []byte("{}"))
	w.must(err)
}

var faultsOfConfig = map[string]fault{
	"a key that is misspelt":  setTo(`^config wroker.concurrency: .*did you mean worker`, statusFault, "wroker.concurrency=1", "worker.concurrency=1"),
	"a value out of bounds":   setTo(`^config worker.ack_wait: "1ms" is too small; give at least 1s`, statusFault, "worker.ack_wait=1ms", "worker.ack_wait=30s"),
	"a key file that is gone": {finds: `^config keys.main.private_key_file: file ".*main.pem" does not exist; check the path`, plant: func(w *world) { w.must(os.Rename(w.path("main.pem"), w.path("x"))) }, mend: func(w *world) { w.must(os.Rename(w.path("x"), w.path("main.pem"))) }},
	"a key file that is none": {finds: `^keys : keys.main: private_key: auth: unusable private key`, plant: func(w *world) { w.write("main.pem", "none") }, mend: func(w *world) { w.key("main", true) }},
	"a key file open to others": {finds: `^files keys.main.private_key_file: .* can be used by others than its owner; chmod 600 .*main.pem `, as: statusWarning,
		plant: func(w *world) { w.must(os.Chmod(w.path("main.pem"), 0o644)) }, mend: func(w *world) { w.must(os.Chmod(w.path("main.pem"), 0o600)) }},
	"a key that nothing uses": {finds: `^keys keys.spare: no source uses it.*; remove it`, as: statusWarning,
		plant: func(w *world) {
			w.key("spare", true)
			w.set = append(w.set, "keys.spare.client_id=client", "keys.spare.kid=spare", "keys.spare.private_key_file="+w.path("spare.pem"))
		}, mend: func(w *world) { w.set = nil }},
	"two keys of one kid": {finds: `^keys : kid "main": two different keys have it; give each key a kid of its own`,
		plant: func(w *world) {
			w.key("spare", true)
			w.set = append(w.set, "keys.spare.client_id=client", "keys.spare.kid=main", "keys.spare.private_key_file="+w.path("spare.pem"),
				"sources.b.id=8ce6f387-c33c-417d-8682-81e83628cbd9", "sources.b.key=spare")
		}, mend: func(w *world) { w.set[1] = "keys.spare.kid=spare" }},
	"a file of sources that cannot be used": {finds: `^config sources.clinic-b.key: no key is called "mian", and is left out; did you mean main`,
		plant: func(w *world) {
			w.must(os.Mkdir(w.path("d"), 0o700))
			w.write("d/b.yaml", "sources: {clinic-b: {id: 8ce6f387-c33c-417d-8682-81e83628cbd9, key: mian}}")
			w.set = append(w.set, "sources_dir="+w.path("d"))
		}, mend: func(w *world) {
			w.write("d/b.yaml", "sources: {clinic-b: {id: 8ce6f387-c33c-417d-8682-81e83628cbd9, key: main}}")
		}},
	"no directory for the trail": {finds: `^files audit.file: directory ".*trail" does not exist; make it`,
		plant: func(w *world) { w.set = append(w.set, "audit.file="+w.path("trail/a.log")) }, mend: func(w *world) { w.must(os.Mkdir(w.path("trail"), 0o700)) }},
	"a certificate that is none": {finds: `^(files|redox) (redox.ca_file)?: .*file ".*ca.pem" holds no PEM certificate; give the certificate (in PEM|of the CA)$`,
		plant: func(w *world) { w.write("ca.pem", "none"); w.set = append(w.set, "redox.ca_file="+w.path("ca.pem")) }, mend: func(w *world) { w.set = nil }},
	"attempts that are few":        setTo(`^retry worker.retry.max_attempts: is 3: a SEND is given up after 6s of trying, or sooner; set it to 0`, statusWarning, "worker.retry.max_attempts=3", "worker.retry.max_attempts=0"),
	"an age that is short":         setTo(`^retry worker.retry.max_age: is 1m`, statusWarning, "worker.retry.max_age=1m", "worker.retry.max_age=24h"),
	"requests that live too short": setTo(`^retry worker.retry.request_max_age: is 1m, and an answer may take redox.timeout \(2m30s\)`, statusWarning, "worker.retry.request_max_age=1m", "worker.retry.request_max_age=151s"),
	"a gateway that gives up":      setTo(`^retry gateway.max_wait: is 30s`, statusWarning, "gateway.max_wait=30s", "gateway.max_wait=150s"),
	"a lease that is short":        setTo(`^retry worker.ack_wait: is 2s`, statusWarning, "worker.ack_wait=2s", "worker.ack_wait=30s"),
	"a lease that is long":         setTo(`^retry worker.ack_wait: is 10m, and a REQUEST lives for`, statusWarning, "worker.ack_wait=10m", "worker.ack_wait=30s"),
	"no breaker":                   setTo(`^retry worker.breaker_after: is 0`, statusWarning, "worker.breaker_after=0", "worker.breaker_after=5"),
	"dead letters of a day":        setTo(`^retry dlq.max_age: is 24h|^streams stream REDOX_DLQ`, statusWarning, "dlq.max_age=24h", "dlq.max_age=0s"),
}

var faultsOfNATS = map[string]fault{
	"no server": {finds: `^nats : .*cannot connect.*127.0.0.1:1.*connection refused.*; start the server`, args: []string{"--timeout", "1s"},
		plant: func(w *world) { w.set = append(w.set, "nats.url=nats://127.0.0.1:1") }, mend: func(w *world) { w.set = nil }},
	"a wrong password": {finds: `^nats : .*Authorization Violation; are the credentials right`, plant: func(w *world) { w.set = append(w.set, "nats.user=all", "nats.password=no") },
		mend: func(w *world) { w.set[1] = "nats.password=s3cret" }},
	"an account without JetStream": {finds: `^(streams|consumers|queue) .*: .*; enable jetstream in the server's configuration and for this account|^streams : .*enable jetstream`,
		plant: func(w *world) { w.set = append(w.set, "nats.user=none", "nats.password=s3cret") }, mend: func(w *world) { w.set[0] = "nats.user=all" }},
	"a stream that is missing": {finds: "^streams stream REDOX_DLQ: it does not exist; run `redoxworker provision`", plant: func(w *world) { w.must(w.js.DeleteStream(w.Context(), "REDOX_DLQ")) }, mend: (*world).provision},
	"a stream that drops": {finds: "^streams stream REDOX_DLQ: it differs: (discard|max_age) .*; run `redoxworker provision`", mend: (*world).provision,
		plant: func(w *world) {
			w.remake("REDOX_DLQ", func(c *jetstream.StreamConfig) { c.Discard, c.MaxAge = jetstream.DiscardOld, time.Hour })
		}},
	"a stream in memory": {finds: `^streams stream REDOX_DLQ: it differs, and provision leaves that: storage is Memory.*; stop what uses it, delete it and provision again`,
		plant: func(w *world) {
			w.remake("REDOX_DLQ", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage })
		}, mend: func(w *world) { w.must(w.js.DeleteStream(w.Context(), "REDOX_DLQ")); w.provision() }},
	"a subject too many": {finds: `^streams stream REDOX_DLQ: it differs, and provision leaves that: it also takes other, which is not part of the topology; remove that subject by hand`,
		plant: func(w *world) {
			w.remake("REDOX_DLQ", func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "other") })
		}, mend: func(w *world) { w.update("REDOX_DLQ", func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] }) }},
	"a queue that is full": {finds: `^streams stream REDOX_OUT: is full: it holds 1 messages and max_msgs is 1; raise it`,
		plant: func(w *world) {
			w.update("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 })
			w.publish("redox.out.clinic-a.send")
		}, mend: func(w *world) { w.update("REDOX_OUT", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }) }},
	"copies for which there are no servers": setTo(`^(replicas nats.replicas: is 3, and the server is alone|streams .*replicas 1 -> 3); set nats.replicas to 1`, statusFault, "nats.replicas=3", "nats.replicas=1"),
	"production on one server":              setTo(`^replicas nats.replicas: is 1, and sources are in production`, statusWarning, "sources.clinic-a.environment=production", "sources.clinic-a.environment=development"),
	"messages that nobody reads": {finds: `^queue stream REDOX_OUT: 1 message under subjects that no worker reads; `,
		plant: func(w *world) { w.publish("redox.out.clinic-a.other") }, mend: func(w *world) {
			stream, err := w.js.Stream(w.Context(), "REDOX_OUT")
			w.must(err)
			w.must(stream.Purge(w.Context(), jetstream.WithPurgeSubject("redox.out.clinic-a.other")))
		}},
	"messages of a stranger": {finds: `^queue stream REDOX_OUT: 1 message of 1 source that this configuration does not name: clinic-z; name them below sources`, as: statusWarning,
		plant: func(w *world) { w.publish("redox.out.clinic-z.send") },
		mend: func(w *world) {
			w.set = append(w.set, "sources.clinic-z.id=8ce6f387-c33c-417d-8682-81e83628cbd9", "sources.clinic-z.key=main")
		}},
	"no registry": {finds: "^streams bucket REDOX_SOURCES: it does not exist; run `redoxworker provision`", plant: func(w *world) { w.set = append(w.set, "registry=true") },
		mend: func(w *world) {
			_, err := topology.Topology{Registry: true}.Ensure(w.Context(), w.js)
			w.must(err)
		}},
	"an entry of the registry without a key": {finds: `^config sources.clinic-r: its entry in the registry names the key other, which this configuration does not have; add keys.other, or name another: redoxworker sources set clinic-r --key NAME`,
		plant: func(w *world) { w.register(`{"id":"8ce6f387-c33c-417d-8682-81e83628cbd9","key":"other"}`) },
		mend: func(w *world) {
			w.key("other", true)
			w.set = append(w.set, "keys.other.client_id=client", "keys.other.kid=other", "keys.other.private_key_file="+w.path("other.pem"), "sources.clinic-o.key=other", "sources.clinic-o.id=9ce6f387-c33c-417d-8682-81e83628cbd9")
		}},
	"an entry of the registry that is none": {finds: `^config sources.clinic-r: its entry in the registry cannot be used: `, plant: func(w *world) { w.register(`{"id":1}`) },
		mend: func(w *world) { w.register(`{"id":"8ce6f387-c33c-417d-8682-81e83628cbd9","key":"main"}`) }},
	"a source in two places": {finds: `^config sources.clinic-r: it is in the configuration and in the registry, and the configuration wins; keep one of the two: redoxworker sources rm clinic-r`, as: statusWarning,
		plant: func(w *world) {
			w.register(`{"id":"8ce6f387-c33c-417d-8682-81e83628cbd9","key":"main"}`)
			w.set = append(w.set, "sources.clinic-r.id=8ce6f387-c33c-417d-8682-81e83628cbd9", "sources.clinic-r.key=main")
		}, mend: func(w *world) { w.set = w.set[:1] }},
	"a worker that cannot make streams": {finds: `^rights publish \$JS.API.STREAM.CREATE.REDOX_OUT: user worker may not make streams that are missing, as nats.provision: auto says; set nats.provision to never`, as: statusWarning,
		with: "{publish: {deny: [\"$JS.API.STREAM.CREATE.>\"]}}", plant: func(w *world) {
			w.set = append(w.set, "nats.user=worker", "nats.password=s3cret", "nats.provision=auto")
		}, mend: func(w *world) { w.set[2] = "nats.provision=never" }},
	"a consumer of somebody": remade(`^consumers consumer mine: it is no worker's.*; stop who made it, then nats consumer rm REDOX_OUT mine --force`, jetstream.ConsumerConfig{Name: "mine", AckPolicy: jetstream.AckExplicitPolicy}),
	"messages that are moved": {finds: `^consumers consumer astray-1: an operator moves messages that no worker reads.*; wait until it has ended`, as: statusWarning,
		plant: func(w *world) {
			w.consumer(jetstream.ConsumerConfig{Name: "astray-1", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"redox.out.clinic-b.send"}, Metadata: map[string]string{"run": "1"}})
		}, mend: func(w *world) { w.must(w.js.DeleteConsumer(w.Context(), "REDOX_OUT", "astray-1")) }},
	"a lease that nobody takes":   remade(`^consumers consumer clinic-a-send: its ack wait of 1s is shorter than worker.ack_wait, 30s.*; stop all workers, then nats consumer rm`, ours(func(c *jetstream.ConsumerConfig) { c.AckWait = time.Second })),
	"a consumer that gives up":    remade(`^consumers consumer clinic-a-send: it is configured otherwise`, ours(func(c *jetstream.ConsumerConfig) { c.MaxDeliver = 3 })),
	"a consumer of half a source": remade(`^consumers consumer clinic-a-send: it is configured otherwise`, ours(func(c *jetstream.ConsumerConfig) { c.FilterSubjects = c.FilterSubjects[:1] })),
	"a consumer that is paused": {finds: `^consumers consumer clinic-a-send: it is paused at the server, for .*; nats consumer resume REDOX_OUT clinic-a-send --force`,
		plant: func(w *world) {
			w.consumer(ours(func(c *jetstream.ConsumerConfig) {}))
			_, err := w.js.PauseConsumer(w.Context(), "REDOX_OUT", "clinic-a-send", time.Now().Add(time.Hour))
			w.must(err)
		}, mend: func(w *world) {
			_, err := w.js.ResumeConsumer(w.Context(), "REDOX_OUT", "clinic-a-send")
			w.must(err)
		}},
}

var faultsOfFarSide = map[string]fault{
	"no Redox":            setTo(`^redox redox.base_url: cannot be reached: .*connection refused; check the host of redox.base_url and port, and the firewall on the way`, statusFault, "redox.base_url=http://127.0.0.1:1", "worker.concurrency=64"),
	"no file store":       setTo(`^redox redox.blob_url: cannot be reached, so that no files can be sent: .*connection refused; check the host of redox.blob_url and port`, statusWarning, "redox.blob_url=http://127.0.0.1:1", "worker.concurrency=64"),
	"a client id unknown": {finds: `^keys main \(current, ES384, kid "main"\): .*; check the client id`, args: []string{"--token"}, plant: func(w *world) { w.set = append(w.set, "keys.main.client_id=no") }, mend: func(w *world) { w.set[0] = "keys.main.client_id=client" }},
	"a key unknown":       {finds: `^keys main .* "invalid_request"|^keys main .*; .*check that the public half of this very key is registered`, args: []string{"--token"}, plant: func(w *world) { w.key("main", false) }, mend: func(w *world) { w.key("main", true) }},
	"a page of HTML": {finds: `^redox redox.base_url: .* answers 200 with a page of HTML.*; check redox.base_url, and the proxy`,
		plant: func(w *world) {
			w.set = append(w.set, "redox.base_url="+w.answers(func(r http.ResponseWriter) { r.Header().Set("Content-Type", "text/html") }))
		}, mend: func(w *world) { w.set = nil }},
	"a clock that is wrong": {finds: `^clock 127.0.0.1:\d+: this host's clock is 1h0m0s ahead of the server's; set this host's clock`,
		plant: func(w *world) {
			w.set = append(w.set, "redox.base_url="+w.answers(func(r http.ResponseWriter) {
				r.Header().Set("Date", time.Now().Add(-time.Hour-time.Second/2).UTC().Format(http.TimeFormat))
			}))
		}, mend: func(w *world) { w.set = nil }},
	"a server in trouble": {finds: `^redox redox.base_url: .* answers 503; wait`, as: statusWarning,
		plant: func(w *world) {
			w.set = append(w.set, "redox.base_url="+w.answers(func(r http.ResponseWriter) { r.WriteHeader(http.StatusServiceUnavailable) }))
		}, mend: func(w *world) { w.set = nil }},
	"an outbox without tables": {finds: "^outbox redox_outbox: sqloutbox: the tables of redox_outbox are missing or cannot be read: .*no such table.*; run `redoxworker outbox migrate`$",
		plant: func(w *world) { w.set = append(w.set, "outbox.driver=sqlite", "outbox.dsn="+w.path("app.db")) }, mend: (*world).migrate},
	"an outbox that cannot be written": {finds: `^outbox redox_outbox: sqloutbox: try .*readonly database.*; let the user of outbox.dsn read, write and delete`,
		plant: func(w *world) {
			w.set = append(w.set, "outbox.driver=sqlite", "outbox.dsn="+w.path("app.db"))
			w.migrate()
			w.set[1] += "?mode=ro"
		}, mend: func(w *world) { w.set[1] = "outbox.dsn=" + w.path("app.db") }},
	"an outbox that nobody can open": {finds: `^outbox outbox.dsn: no connection: .*; check the database's address`,
		plant: func(w *world) {
			w.set = append(w.set, "outbox.driver=postgres", "outbox.dsn=postgres://u:s3cret@127.0.0.1:1/db?sslmode=disable")
		}, mend: func(w *world) { w.set = nil }},
}

// register writes an entry of the registry.
func (w *world) register(value string) {
	w.Helper()
	_, err := topology.Topology{Registry: true}.Ensure(w.Context(), w.js)
	w.must(err)
	w.set = []string{"registry=true"}
	_, err = w.js.Publish(w.Context(), "$KV.REDOX_SOURCES.source.clinic-r", []byte(value))
	w.must(err)
}

// answers is a server that answers so.
func (w *world) answers(answer func(http.ResponseWriter)) string {
	s := httptest.NewServer(http.HandlerFunc(func(r http.ResponseWriter, _ *http.Request) { answer(r) }))
	w.Cleanup(s.Close)
	return s.URL
}

// remake makes a stream anew, and update changes it.
func (w *world) remake(name string, edit func(*jetstream.StreamConfig)) {
	w.Helper()
	for _, c := range (topology.Topology{}).Streams() {
		if c.Name == name {
			w.must(w.js.DeleteStream(w.Context(), name))
			edit(&c)
			_, err := w.js.CreateStream(w.Context(), c)
			w.must(err)
		}
	}
}

func (w *world) update(name string, edit func(*jetstream.StreamConfig)) {
	w.Helper()
	stream, err := w.js.Stream(w.Context(), name)
	w.must(err)
	c := stream.CachedInfo().Config
	c.Subjects = slices.Clone(c.Subjects)
	edit(&c)
	_, err = w.js.UpdateStream(w.Context(), c)
	w.must(err)
}

// migrate is `redoxworker outbox migrate`.
func (w *world) migrate() {
	w.Helper()
	db, err := sqlcmd.Open(config.Outbox{Driver: config.DriverSQLite, DSN: config.NewSecret(w.path("app.db"))})
	w.must(err)
	defer db.Close()
	box, err := sqloutbox.New(sqloutbox.SQLite, sqloutbox.Config{})
	w.must(err)
	_, err = box.Migrate(w.Context(), db, 0)
	w.must(err)
}

func testFaults(t *testing.T, faults map[string]fault) {
	t.Helper()
	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, f.with)
			f.plant(w)
			s := f.as
			if s == "" {
				s = statusFault
			}
			w.finds(w.check(f.args...), s, f.finds)
			f.mend(w)
			w.whole(w.check(f.args...))
		})
	}
}

func TestCheck_FindsWhatIsWrongWithTheConfiguration(t *testing.T) {
	t.Parallel()
	testFaults(t, faultsOfConfig)
}

func TestCheck_FindsWhatIsWrongAtNATS(t *testing.T) {
	t.Parallel()
	testFaults(t, faultsOfNATS)
}

func TestCheck_FindsWhatIsWrongAtRedoxAndTheDatabase(t *testing.T) {
	t.Parallel()
	testFaults(t, faultsOfFarSide)
}

func TestCheck_NothingIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	w.whole(w.check("--token"))
	out, code := w.run("check")
	if code != 0 || strings.Count(out, "\n✓ ") < 12 || !strings.Contains(out, "\nno faults, 1 not known; took ") {
		t.Errorf("exit %d\n%s", code, out)
	}
}
