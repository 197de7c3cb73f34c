package deploy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/topology"
)

// Every user against every subject, on a server that has no streams: what is not in
// the user's rights is denied.
func TestAccounts_Permissions(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	for _, user := range users {
		t.Run(user, func(t *testing.T) {
			t.Parallel()
			may := userRights[user]
			checkLists(t, may)
			nc := connect(t, srv, user)
			for _, subject := range publishSubjects {
				if err := nc.Publish(subject, nil); err != nil {
					t.Fatal(err)
				}
				if got, want := !denied(t, nc, subject), slices.Contains(may.publish, subject); got != want {
					t.Errorf("publish %s: allowed %v, want %v", subject, got, want)
				}
			}
			nc = connect(t, srv, user) // LastError of this one is about subscriptions
			for _, subject := range subscribeSubjects {
				sub, err := nc.SubscribeSync(subject)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := !denied(t, nc, subject), slices.Contains(may.subscribe, subject); got != want {
					t.Errorf("subscribe %s: allowed %v, want %v", subject, got, want)
				}
				_ = sub.Unsubscribe()
			}
		})
	}
}

// checkLists: a right that is no subject of the lists would never be tried.
func checkLists(t *testing.T, may rights) {
	t.Helper()
	for _, subject := range may.publish {
		if !slices.Contains(publishSubjects, subject) {
			t.Errorf("%s is not among publishSubjects", subject)
		}
	}
	for _, subject := range may.subscribe {
		if !slices.Contains(subscribeSubjects, subject) {
			t.Errorf("%s is not among subscribeSubjects", subject)
		}
	}
}

// What each may do, tried on a server that has the streams: an action is its request, and it is
// refused by a permissions violation. go test -v -run Matrix prints it.
func TestAccounts_Matrix(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	provision(t, srv, topology.Topology{Registry: true})
	roles := []string{operator, workerUser, console, relay, clinicA, gatewayClient}
	may := make(map[string]map[string]bool)
	for _, role := range roles {
		may[role] = make(map[string]bool)
		nc := connect(t, srv, role)
		for _, a := range actions {
			var err error
			if a.listen {
				_, err = nc.SubscribeSync(a.subject)
			} else {
				err = nc.PublishRequest(a.subject, "_INBOX_"+role+".x", nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			may[role][a.name] = !denied(t, nc, a.subject)
		}
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-44s", "")
	for _, role := range roles {
		fmt.Fprintf(&table, " %-14s", role)
	}
	for _, a := range actions {
		fmt.Fprintf(&table, "\n%-44s", a.name)
		for _, role := range roles {
			mark := "-"
			if may[role][a.name] {
				mark = "yes"
			}
			fmt.Fprintf(&table, " %-14s", mark)
			if want := slices.Contains(strings.Fields(a.who), role); want != may[role][a.name] {
				t.Errorf("%s: %s may %v, want %v", a.name, role, may[role][a.name], want)
			}
		}
	}
	t.Logf("\n%s", &table)
}

// action is something that a role may do or not.
type action struct {
	name, subject string
	listen        bool   // it is a subscription
	who           string // who may; clinic-a publishes and reads its replies
}

var actions = []action{
	{"publish as clinic-a", "redox.out.clinic-a.send", false, "operator worker console relay clinic-a"},
	{"publish as clinic-b", "redox.out.clinic-b.send", false, "operator worker console relay"},
	{"ask the gateway as clinic-a", "redox.gateway.clinic-a.send", false, "gateway-client"},
	{"ask the gateway as clinic-b", "redox.gateway.clinic-b.send", false, ""},
	{"serve the gateway", "redox.gateway.>", true, "worker"},
	{"pull from the queue", "$JS.API.CONSUMER.MSG.NEXT.REDOX_OUT.clinic-a-send", false, "operator worker"},
	{"make a consumer of the queue", "$JS.API.CONSUMER.CREATE.REDOX_OUT.clinic-a-send", false, "operator worker"},
	{"settle a message", "$JS.ACK.REDOX_OUT.clinic-a-send.1.1.1.1.0", false, "operator worker"},
	{"look into the queue", "$JS.API.STREAM.MSG.GET.REDOX_OUT", false, "operator worker console"},
	{"listen to what is published", "redox.out.>", true, ""},
	{"hear which source has work", "redox.wake.>", true, "worker"},
	{"write a dead letter", "redox.dlq.clinic-a.held.x", false, "operator worker"},
	{"read dead letters", "$JS.API.CONSUMER.MSG.NEXT.REDOX_DLQ.browse", false, "operator console"},
	{"discard a dead letter", "$JS.API.STREAM.MSG.DELETE.REDOX_DLQ", false, "operator console"},
	{"write a reply of clinic-a", "redox.reply.clinic-a.id", false, "worker"},
	{"read a reply of clinic-a", "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-a.id", false, "operator console clinic-a"},
	{"read a reply of clinic-b", "$JS.API.DIRECT.GET.REDOX_REPLIES.redox.reply.clinic-b.id", false, "operator console"},
	{"hear replies of clinic-a", "redox.reply.clinic-a.>", true, "operator console clinic-a"},
	{"consume replies of clinic-a", "$JS.API.CONSUMER.MSG.NEXT.REDOX_REPLIES.clinic-a-replies", false, "operator console clinic-a"},
	{"make a consumer of replies", "$JS.API.CONSUMER.CREATE.REDOX_REPLIES.clinic-a-replies.redox.reply.clinic-a.>", false, "operator console"},
	{"pause a source", "$KV.REDOX_STATE.pause.source.clinic-a", false, "operator worker console"},
	{"hold and release an order", "$KV.REDOX_LEDGER.k", false, "operator worker console"},
	{"add a source", "$KV.REDOX_SOURCES.source.clinic-c", false, "operator console"},
	{"write what an operator does to the trail", "redox.audit.clinic-a.deed", false, "operator console"},
	{"write a settlement to the trail", "redox.audit.clinic-a", false, "worker"},
	{"remove from the trail", "$JS.API.STREAM.MSG.DELETE.REDOX_AUDIT", false, ""},
	{"ask workers how they are", "redox.worker.status", false, "operator console"},
	{"read bodies of the object store", "$JS.API.STREAM.MSG.GET.OBJ_REDOX_BODIES", false, "operator worker console relay"},
	{"write bodies to the object store", "$O.REDOX_BODIES.C.x", false, "operator worker console relay"},
	{"make a stream", "$JS.API.STREAM.CREATE.THIEF", false, "operator"},
	{"change a stream", "$JS.API.STREAM.UPDATE.REDOX_DLQ", false, "operator"},
	{"back a stream up", "$JS.API.STREAM.SNAPSHOT.REDOX_DLQ", false, "operator"},
	{"remove from the queue", "$JS.API.STREAM.MSG.DELETE.REDOX_OUT", false, ""},
	{"purge the queue", "$JS.API.STREAM.PURGE.REDOX_OUT", false, ""},
	{"delete a stream", "$JS.API.STREAM.DELETE.REDOX_DLQ", false, ""},
	{"listen to another's answers", "_INBOX_operator.x", true, "operator"},
	{"listen to everything", ">", true, ""},
	{"ask the system account", "$SYS.REQ.SERVER.PING", false, ""},
}

func TestAccounts_Login(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	for name, login := range map[string]nats.Option{
		"nobody":              nats.Name("nobody"),
		"wrong password":      nats.UserInfo(workerUser, "wrong"),
		"no password":         nats.UserInfo(operator, ""),
		"another's password":  nats.UserInfo(clinicA, passwords[clinicB]),
		"unknown user":        nats.UserInfo("admin", passwords[operator]),
		"the system account":  nats.UserInfo("SYS", ""),
		"a token, not a user": nats.Token(passwords[operator]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, err := nats.Connect(srv.ClientURL(), login)
			if err == nil {
				nc.Close()
			}
			if !errors.Is(err, nats.ErrAuthorization) {
				t.Errorf("error %v, want %v", err, nats.ErrAuthorization)
			}
		})
	}
}

// A password that is missing must keep the server from starting, not open it.
func TestAccounts_MissingPassword(t *testing.T) {
	for _, user := range users {
		t.Run(user, func(t *testing.T) {
			name := passwordVar(user)
			unset(t, name)
			if _, err := server.ProcessConfigFile("nats/single.conf"); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want one that names %s", err, name)
			}
		})
	}
}

func TestSingle_Settings(t *testing.T) {
	t.Parallel()
	opts, err := server.ProcessConfigFile("nats/single.conf")
	if err != nil {
		t.Fatal(err)
	}
	if opts.Host != "127.0.0.1" || opts.HTTPHost != "127.0.0.1" {
		t.Errorf("it listens on %s and %s; without TLS only loopback will do", opts.Host, opts.HTTPHost)
	}
	checkServer(t, opts)
}

// checkServer is what both configurations owe the data.
func checkServer(t *testing.T, opts *server.Options) {
	t.Helper()
	if !opts.JetStream || !opts.SyncAlways || opts.StoreDir == "" {
		t.Errorf("jetstream %v, sync always %v, store %q", opts.JetStream, opts.SyncAlways, opts.StoreDir)
	}
	if opts.MaxPayload != server.MAX_PAYLOAD_MAX_SIZE {
		t.Errorf("max payload %d, want %d", opts.MaxPayload, server.MAX_PAYLOAD_MAX_SIZE)
	}
	if opts.NoAuthUser != "" || opts.SystemAccount != "SYS" {
		t.Errorf("no_auth_user %q, system_account %q", opts.NoAuthUser, opts.SystemAccount)
	}
	for _, u := range opts.Users {
		p := u.Permissions
		if p == nil || p.Publish == nil || p.Subscribe == nil || len(p.Publish.Allow) == 0 || len(p.Subscribe.Allow) == 0 {
			t.Errorf("user %s has no list of what it may do", u.Username)
		}
	}
}

// Probes work without a login.
func TestSingle_Monitoring(t *testing.T) {
	t.Parallel()
	srv := startSingle(t)
	if addr := srv.MonitorAddr(); addr == nil || !addr.IP.IsLoopback() {
		t.Fatalf("monitoring on %v", addr)
	}
	if code := getStatus(t, "http://"+srv.MonitorAddr().String()+"/healthz?js-server-only=true"); code != 200 {
		t.Errorf("/healthz answers %d", code)
	}
}
