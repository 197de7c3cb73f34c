package deploy_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/deploy/internal/certificates"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// cluster is nats/cluster.conf on three servers.
type cluster struct {
	servers   []*server.Server
	authority string // the file with its certificate
}

// startCluster sets the environment of each server in turn: it cannot run in parallel.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	files, err := certificates.Write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{authority: files.CA}
	t.Setenv("NATS_TLS_CA", files.CA)
	t.Setenv("NATS_TLS_CERT", files.Cert)
	t.Setenv("NATS_TLS_KEY", files.Key)
	t.Setenv("NATS_CLUSTER_PASSWORD", "of-the-routes")
	t.Setenv("NATS_STORE_KEY", "k"+rand.Text())
	ports, err := natsdev.FreePorts(3)
	if err != nil {
		t.Fatal(err)
	}
	var routes []string
	for _, port := range ports {
		routes = append(routes, fmt.Sprintf(`"nats://cluster:of-the-routes@127.0.0.1:%d"`, port))
	}
	t.Setenv("NATS_ROUTES", "["+strings.Join(routes, ", ")+"]")
	for i, port := range ports {
		t.Setenv("NATS_SERVER_NAME", fmt.Sprint("nats-", i+1))
		opts := configure(t, "nats/cluster.conf")
		checkServer(t, opts)
		checkCluster(t, opts)
		opts.Cluster.Host, opts.Cluster.Port = "127.0.0.1", port
		c.servers = append(c.servers, start(t, opts))
	}
	for _, srv := range c.servers {
		if !srv.ReadyForConnections(20 * time.Second) {
			t.Fatalf("%s is not ready", srv.Name())
		}
	}
	eventually(t, "a leader", func() bool {
		for _, srv := range c.servers {
			if srv.JetStreamIsLeader() {
				return len(srv.JetStreamClusterPeers()) == 3
			}
		}
		return false
	})
	return c
}

func checkCluster(t *testing.T, opts *server.Options) {
	t.Helper()
	if opts.TLSConfig == nil || opts.TLSConfig.MinVersion < tls.VersionTLS12 || opts.AllowNonTLS {
		t.Error("clients may connect without TLS 1.2")
	}
	r := opts.Cluster.TLSConfig
	if r == nil || r.ClientAuth != tls.RequireAndVerifyClientCert || r.MinVersion < tls.VersionTLS12 || opts.Cluster.Password == "" {
		t.Error("routes need neither certificate nor password")
	}
	if opts.JetStreamCipher != server.ChaCha || opts.JetStreamKey == "" {
		t.Error("the data is not encrypted on the disk")
	}
	if len(opts.Routes) != 3 {
		t.Errorf("%d routes", len(opts.Routes))
	}
}

// connect to all servers as a user.
func (c *cluster) connect(t *testing.T, user string) *nats.Conn {
	t.Helper()
	var urls []string
	for _, srv := range c.servers {
		urls = append(urls, srv.ClientURL())
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.UserInfo(user, passwords[user]), nats.CustomInboxPrefix("_INBOX_"+user),
		nats.RootCAs(c.authority), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.IgnoreDiscoveredServers(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("%s: %v", user, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestCluster_KeepsMessagesWithoutOneServer(t *testing.T) {
	c := startCluster(t)
	checkClientTLS(t, c)
	op := stream(t, c.connect(t, operator))
	top := topology.Topology{Replicas: 3}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if _, err := top.Ensure(ctx, op); err != nil {
		t.Fatal(err)
	}
	p, err := outbox.NewPublisher(stream(t, c.connect(t, clinicA)), outbox.PublisherConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Publish(ctx, outbox.Message{ID: "one", Source: clinicA, Body: []byte(marked)}); err != nil {
		t.Fatal(err)
	}
	var leader string
	eventually(t, "every stream on three servers", func() bool {
		list := op.ListStreams(ctx)
		whole := 0
		for info := range list.Info() {
			if current(info) && info.Config.Replicas == 3 {
				whole++
			}
			if info.Config.Name == "REDOX_OUT" {
				leader = info.Cluster.Leader
			}
		}
		return list.Err() == nil && whole == len(top.Streams())
	})
	for _, srv := range c.servers {
		checkEncrypted(t, srv.StoreDir())
	}
	c.stop(t, leader)
	if _, err := p.Publish(ctx, outbox.Message{ID: "two", Source: clinicA, Body: []byte(`{}`)}); err != nil {
		t.Fatalf("without %s: %v", leader, err)
	}
	c.delivered(t, ctx, "one", "two")
}

// marked is a body that can be looked for.
const marked = `{"Patient":"somebody who is looked for"}`

// checkEncrypted: what is published cannot be read on the disk.
func checkEncrypted(t *testing.T, dir string) {
	t.Helper()
	blocks := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(path, ".blk") {
			blocks++
		}
		if text := read(t, path); strings.Contains(text, "somebody who is looked for") || strings.Contains(text, "redox.out.clinic-a.send") {
			t.Errorf("%s has messages in clear", path)
		}
		return nil
	})
	if err != nil || blocks == 0 {
		t.Errorf("%d blocks of messages, %v", blocks, err)
	}
}

// current reports whether both followers have all there is.
func current(info *jetstream.StreamInfo) bool {
	if info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
		return false
	}
	return info.Cluster.Replicas[0].Current && info.Cluster.Replicas[1].Current
}

func (c *cluster) stop(t *testing.T, name string) {
	t.Helper()
	for _, srv := range c.servers {
		if srv.Name() == name {
			srv.Shutdown()
			srv.WaitForShutdown()
			return
		}
	}
	t.Fatalf("no server %q", name)
}

// delivered pulls and acknowledges as the worker does, with its rights.
func (c *cluster) delivered(t *testing.T, ctx context.Context, ids ...string) {
	t.Helper()
	js := stream(t, c.connect(t, workerUser))
	var consumer jetstream.Consumer
	eventually(t, "a leader of the consumer", func() bool {
		var err error
		consumer, err = js.CreateOrUpdateConsumer(ctx, "REDOX_OUT", jetstream.ConsumerConfig{
			Durable: "clinic-a-send", AckPolicy: jetstream.AckExplicitPolicy, FilterSubjects: []string{"redox.out.clinic-a.send", "redox.out.clinic-a.send.>"}})
		return err == nil
	})
	for _, id := range ids {
		var msg jetstream.Msg
		eventually(t, "message "+id, func() bool {
			var err error
			msg, err = consumer.Next(jetstream.FetchMaxWait(5 * time.Second))
			return err == nil
		})
		if got := msg.Headers().Get(contract.HeaderMessageID); got != id {
			t.Errorf("message %s, want %s", got, id)
		}
		if err := msg.DoubleAck(ctx); err != nil {
			t.Error(err)
		}
	}
}

// checkClientTLS: nobody connects in clear, or to a server of another authority.
func checkClientTLS(t *testing.T, c *cluster) {
	t.Helper()
	url := strings.Replace(c.servers[0].ClientURL(), "tls://", "nats://", 1)
	login := nats.UserInfo(clinicA, passwords[clinicA])
	if nc, err := nats.Connect(url, login); err == nil {
		nc.Close()
		t.Error("a client connected that does not know the authority")
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(conn, "CONNECT {\"user\":%q,\"pass\":%q}\r\nPING\r\n", clinicA, passwords[clinicA])
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if strings.Contains(string(buf[:n]), "PONG") {
			t.Error("a client got through in clear")
		}
		if err != nil {
			return
		}
	}
}
