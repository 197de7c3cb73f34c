package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
)

// TestMain makes this program a command of the scripts. More tests run side by side than
// there are cores unless -parallel says how many: they wait for processes and servers.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", strconv.Itoa(4+2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}
	testscript.Main(clitest.M{M: m}, map[string]func(){"redoxworker": main})
}

// TestScript runs each script of testdata/script as a user would: the program is a process,
// NATS and Redox are reached over TCP. Besides testscript's own commands there are
//
//	nats-server [max_payload=N] [config=FILE]   start NATS, and again after a nats-stop; its URL is $NATS
//	nats-stop                                   stop it, keeping its data and port
//	nats-pub SUBJECT FILE [Header:value]...     publish a file as a plain client would
//	stored STREAM N                             wait until a stream holds N messages
//	simulator [PROFILE]                         start Redox on $SIM, and write main.pem (client id "client", kid
//	                                            "main", ES384) and next.pem (kid "next"), which it knows, and
//	                                            stranger.pem, which it does not; legacy key "legacy", secret "s3cret";
//	                                            person.pem of a user-level key (client id and kid "person")
//	arrivals N                                  the simulator has taken exactly N messages
//	arriving PATH N                             wait until it has read N requests to a path
//	taken PATH FILE                             write the body that it took last at a path to a file
//	log-state ID STATE                          set the state of one of its logs
//	destination ID fails|works                  what becomes of its deliveries to a destination
//	file FILE N                                 write a file of N bytes, always the same
//	embed FILE OTHER                            replace @FILE@ in a file by another file in base64
//	expand FILE...                              replace $NAME and ${NAME} in files by environment variables
//	start NAME [VAR=VALUE]... PROGRAM ARG...    start a program in the background
//	await NAME stdout|stderr REGEXP             wait until it has printed a match; its first group is then $MATCH
//	http-get URL FILE                           GET a URL; status line and headers go to FILE.header
//	interrupt NAME                              send it SIGTERM
//	crash NAME                                  send it SIGKILL and wait for its end
//	finish NAME [CODE]                          wait for its end and check the exit code; its output is left in
//	                                            NAME.stdout and NAME.stderr
//	collector http|grpc|hangs                   start a collector of traces at $COLLECTOR
//	spans N FILE                                wait until it has N spans, and write them to a file
//	exits CODE PROGRAM ARG...                   run a program in the foreground and check the exit code
//	inorder FILE LINES                          a file has all lines of another, in their order
//	lacks FILE REGEXP                           a file has no match, stdout and stderr included
//
// Nothing of them sleeps: they wait for what they name, up to scriptPatience.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"nats-server": natsServerCmd,
			"nats-stop":   natsStopCmd,
			"nats-stream": natsStreamCmd,
			"nats-pub":    natsPubCmd,
			"stored":      storedCmd,
			"simulator":   simulatorCmd,
			"arrivals":    arrivalsCmd,
			"arriving":    arrivingCmd,
			"crash":       crashCmd,
			"taken":       takenCmd,
			"log-state":   logStateCmd,
			"destination": destinationCmd,
			"file":        fileCmd,
			"embed":       embedCmd,
			"expand":      expandCmd,
			"start":       startCmd,
			"await":       awaitCmd,
			"http-get":    httpGetCmd,
			"interrupt":   interruptCmd,
			"finish":      finishCmd,
			"exits":       exitsCmd,
			"inorder":     inorderCmd,
			"lacks":       lacksCmd,
			"collector":   collectorCmd,
			"spans":       spansCmd,
			"sql":         sqlCmd,
			"sql-empty":   sqlEmptyCmd,
		},
	})
}

// scriptPatience bounds every wait of a script: far longer than anything takes on a busy host.
const scriptPatience = time.Minute

// scriptState is what the commands of one script share.
type scriptState struct {
	vars      []string // the environment a program starts with
	processes map[string]*process
	nats      *scriptNATS
	sim       *scriptSim
	collector *scriptCollector
}

type scriptStateKey struct{}

func setUpScript(env *testscript.Env) error {
	env.Setenv("NO_COLOR", "1")
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("GORACE", os.Getenv("GORACE"))
	state := &scriptState{vars: env.Vars, processes: map[string]*process{}}
	env.Values[scriptStateKey{}] = state
	env.Defer(func() { state.end(env.T()) })
	return nil
}

// end stops programs before the servers they talk to, and shows what those printed that
// the script had not come to finish.
func (s *scriptState) end(t testscript.T) {
	for name, p := range s.processes {
		p.kill()
		t.Log(name + ":\n" + p.String())
	}
	if s.sim != nil {
		s.sim.close()
	}
	if s.nats != nil {
		s.nats.close()
	}
}

func stateOf(ts *testscript.TestScript) *scriptState {
	return ts.Value(scriptStateKey{}).(*scriptState)
}

// expandCmd fills in files what only the running script knows, such as a port.
func expandCmd(ts *testscript.TestScript, neg bool, args []string) {
	plain(ts, "expand", neg, len(args) > 0)
	for _, name := range args {
		path := ts.MkAbs(name)
		info, err := os.Stat(path)
		ts.Check(err)
		ts.Check(os.WriteFile(path, []byte(os.Expand(ts.ReadFile(name), ts.Getenv)), info.Mode()))
	}
}

// plain refuses "! command", where it would mean nothing, and wrong arguments.
func plain(ts *testscript.TestScript, name string, neg, args bool) {
	if neg {
		ts.Fatalf("%s cannot be negated", name)
	}
	if !args {
		ts.Fatalf("usage of %s: see TestScript", name)
	}
}

func scriptInt(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		ts.Fatalf("%v", fmt.Errorf("not a number: %w", err))
	}
	return n
}
