package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/deploy/internal/certificates"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

// fleet is a production in small: nats/cluster.conf on three servers, workers and a relay as processes,
// with the configuration of kubernetes/production.
type fleet struct {
	*site
	url     string
	tls     certificates.Files
	servers [3]*server.Server
	warned  [3]warnings
	ports   []int // of clients, then of routes
	workers group
	console group
	relay   *process
	box     *sqloutbox.Outbox

	mu       sync.Mutex
	promised []string       // ids that were confirmed, or committed
	taken    map[string]int // how often Redox took each
	refused  int            // messages that were not confirmed
	refusal  error          // the last of them

	told sync.Once // what everybody was at
}

func newFleet(t *testing.T) *fleet {
	f := &fleet{site: &site{T: t, dir: t.TempDir(), sim: new(redoxsim.Server)}, taken: make(map[string]int)}
	f.workers.start, f.console.start = f.startWorker, f.startConsole
	far := httptest.NewServer(http.HandlerFunc(f.take))
	t.Cleanup(func() { f.sim.Release(); far.Close() })
	var err error
	f.tls, err = certificates.Write(f.dir)
	f.must(err)
	f.ports, err = natsdev.FreePorts(6)
	f.must(err)
	f.startServers()
	f.configure()
	t.Setenv("REDOXWORKER_REDOX_BASE_URL", far.URL)
	f.eventually("the cluster has a leader", func() bool {
		return slices.ContainsFunc(f.servers[:], func(srv *server.Server) bool { return srv.JetStreamIsLeader() && len(srv.JetStreamClusterPeers()) == 3 })
	})
	if out, err := f.try("operator", "redoxworker provision"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return f
}

var patientID = regexp.MustCompile(`"ID": ?"(m-\d+)"`)

// take is Redox, which remembers what it took.
func (f *fleet) take(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	f.sim.ServeHTTP(w, r)
	if id := patientID.FindSubmatch(text); id != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.taken[string(id[1])]++
	}
}

// startServers starts all three with what differs between them in the environment.
func (f *fleet) startServers() {
	f.Helper()
	var routes, urls []string
	for i := range f.servers {
		routes = append(routes, fmt.Sprintf(`"nats://cluster:of-the-routes@127.0.0.1:%d"`, f.ports[3+i]))
		urls = append(urls, fmt.Sprintf("tls://127.0.0.1:%d", f.ports[i]))
	}
	f.url = strings.Join(urls, ",")
	for name, value := range map[string]string{"CLUSTER_PASSWORD": "of-the-routes", "STORE_KEY": "k" + rand.Text(), "ROUTES": "[" + strings.Join(routes, ", ") + "]",
		"TLS_CA": f.tls.CA, "TLS_CERT": f.tls.Cert, "TLS_KEY": f.tls.Key} {
		f.Setenv("NATS_"+name, value)
	}
	for i := range f.servers {
		f.startServer(i)
	}
	f.Cleanup(func() {
		for _, srv := range f.servers {
			srv.Shutdown()
			srv.WaitForShutdown()
		}
	})
}

// store is where a server keeps its data.
func (f *fleet) store(i int) string { return filepath.Join(f.dir, fmt.Sprint("store-", i)) }

func (f *fleet) startServer(i int) {
	f.Helper()
	f.Setenv("NATS_SERVER_NAME", fmt.Sprint("nats-", i+1))
	opts, err := server.ProcessConfigFile("../nats/cluster.conf")
	f.must(err)
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", f.ports[i], -1
	opts.Cluster.Host, opts.Cluster.Port = "127.0.0.1", f.ports[3+i]
	opts.StoreDir, opts.NoSigs, opts.NoLog = f.store(i), true, true
	srv, err := server.NewServer(opts)
	f.must(err)
	srv.SetLogger(&f.warned[i], false, false)
	go srv.Start()
	if !srv.ReadyForConnections(time.Minute) {
		f.Fatal(srv.Name(), " is not ready")
	}
	f.servers[i] = srv
}

// stopServer stops one; its data stays.
func (f *fleet) stopServer(i int) {
	f.servers[i].Shutdown()
	f.servers[i].WaitForShutdown()
}

// configure writes the configuration of kubernetes/production with the files that it names.
func (f *fleet) configure() {
	f.Helper()
	key, err := auth.GenerateKey(auth.ES384, "redoxworker-1")
	f.must(err)
	f.must(f.sim.AddOAuthKey("00000000-0000-0000-0000-000000000000", "redoxworker-1", key.Public()))
	for _, dir := range []string{"config", "secrets"} {
		f.must(os.Mkdir(filepath.Join(f.dir, dir), 0o700))
	}
	f.must(auth.WriteKeyFile(filepath.Join(f.dir, "secrets/redox-main-key"), key))
	ca, err := os.ReadFile(f.tls.CA)
	f.must(err)
	f.write("secrets/nats-ca.pem", string(ca))
	f.write("secrets/nats-password", password("worker"))
	f.write("secrets/order-secret", strings.Repeat("s", 32))
	f.writeConsoleSecret()
	text, err := os.ReadFile("../kubernetes/production/redoxworker.yaml")
	f.must(err)
	f.file = filepath.Join(f.dir, "config/redoxworker.yaml")
	f.write("config/redoxworker.yaml", strings.NewReplacer("tls://nats.nats.svc:4222", f.url, "max_bytes: 20000000000", "max_bytes: 200000000").Replace(string(text)))
	f.db, err = sql.Open("sqlite", "file:"+filepath.Join(f.dir, "outbox.db")+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	f.must(err)
	f.Cleanup(func() { _ = f.db.Close() })
	f.box, err = sqloutbox.New(sqloutbox.SQLite, sqloutbox.Config{OrderSecret: []byte(strings.Repeat("s", 32))})
	f.must(err)
	_, err = f.box.Migrate(f.Context(), f.db, 0)
	f.must(err)
}

// startRelay starts the relay with the settings of its unit, but the kind of database.
func (f *fleet) startRelay() {
	f.Helper()
	f.relay = f.launch("relay", "outbox", "relay", "--config", f.file, "--set", "outbox.driver=sqlite", "--set", "outbox.dsn="+filepath.Join(f.dir, "outbox.db"))
}

// publisher is an application of clinic-a, which never gives up.
func (f *fleet) publisher() *outbox.Publisher {
	f.Helper()
	nc, err := nats.Connect(f.url, nats.UserInfo("clinic-a", password("clinic-a")), nats.CustomInboxPrefix("_INBOX_clinic-a"), nats.RootCAs(f.tls.CA),
		nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	f.must(err)
	f.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	f.must(err)
	p, err := outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: []byte(strings.Repeat("s", 32))})
	f.must(err)
	return p
}

// load publishes until ctx ends: every other message straight, the others through the database. What is
// confirmed or committed is promised.
func (f *fleet) load(ctx context.Context) {
	p, tick := f.publisher(), time.NewTicker(80*time.Millisecond)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprint("m-", n)
		m := outbox.Message{ID: id, Source: "clinic-a", OrderKey: fmt.Sprint("patient ", n%7), Body: bytes.Replace(f.body("a"), []byte(`"1"`), []byte(`"`+id+`"`), 1)}
		var err error
		if n%2 == 0 {
			_, err = p.Publish(ctx, m)
		} else {
			err = f.enqueue(m)
		}
		f.mu.Lock()
		if err == nil {
			f.promised = append(f.promised, id)
		} else {
			f.refused, f.refusal = f.refused+1, err
		}
		f.mu.Unlock()
		<-tick.C
	}
}

func (f *fleet) enqueue(m outbox.Message) error {
	tx, err := f.db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := f.box.Enqueue(context.Background(), tx, m); err != nil {
		return err
	}
	return tx.Commit()
}
