package deploy_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
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
