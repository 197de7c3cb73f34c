// Package deploy_test loads or runs every file of this folder. There is no Go
// code here but tests.
package deploy_test

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"
)

// users of nats/accounts.conf.
const (
	operator      = "operator"
	workerUser    = "worker"
	clinicA       = "clinic-a"
	clinicB       = "clinic-b"
	gatewayClient = "gateway-client"
	relay         = "relay"
	console       = "console"
)

var users = []string{operator, workerUser, clinicA, clinicB, gatewayClient, relay, console}

// passwords are made anew in each run; the servers get only their hashes.
var passwords = map[string]string{}

// passwordVar is the variable that accounts.conf takes a user's password from.
func passwordVar(user string) string {
	return "NATS_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_")) + "_PASSWORD"
}

// TestMain lets more tests run side by side than there are cores, unless -parallel says how
// many: they wait for servers.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(4+2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	for _, user := range users {
		passwords[user] = rand.Text()
		hash, err := bcrypt.GenerateFromPassword([]byte(passwords[user]), bcrypt.MinCost)
		if err == nil {
			err = os.Setenv(passwordVar(user), string(hash))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	goleak.VerifyTestMain(m,
		// goroutines that the server's storage starts once per process
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server/ats.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"))
}
