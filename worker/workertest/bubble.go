package workertest

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Bubble runs f in a bubble of fake time with a fresh in-process JetStream server on
// file storage. Time passes when every goroutine of the bubble waits. The bubble fails
// the test when f leaves a goroutine behind, so it is a leak check as well.
//
// A test that calls Bubble must not be parallel: the NATS client keeps timers in a pool
// of the process, and a timer made in one bubble must not be used outside it.
func Bubble(t *testing.T, f func(t *testing.T, js jetstream.JetStream)) {
	t.Helper()
	dir := t.TempDir()
	emptyPools() // of timers from outside
	defer emptyPools()
	// JetStream's storage starts one ticker per process; it must belong to no bubble.
	ats.Register()
	t.Cleanup(ats.Unregister)
	synctest.Test(t, func(t *testing.T) {
		s, err := server.NewServer(&server.Options{
			ServerName: "bubble", DontListen: true, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
		if err != nil {
			t.Fatal(err)
		}
		go s.Start()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the embedded NATS server did not start")
		}
		conn, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			conn.Close()
			s.Shutdown()
			s.WaitForShutdown()
		}()
		js, err := jetstream.New(conn)
		if err != nil {
			t.Fatal(err)
		}
		f(t, js)
	})
}

// emptyPools drops what sync.Pools hold: two collections do.
func emptyPools() {
	runtime.GC()
	runtime.GC()
}
