package checkcmd

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/redoxworker/redoxworker/config"
)

// needsAll is every right of a worker, as a list for the server's configuration, but those whose
// lines match.
func needsAll(c *config.Config, but string) string {
	leave := regexp.MustCompile(but)
	var publish, subscribe []string
	for _, r := range rightsOf(c) {
		switch text := `"` + r.need + `"`; {
		case but != "" && leave.MatchString(r.need):
		case r.listen:
			subscribe = append(subscribe, text)
		default:
			publish = append(publish, text)
		}
	}
	return "{publish: {allow: [" + strings.Join(publish, ", ") + `]}, subscribe: {allow: ["_INBOX.>", ` + strings.Join(subscribe, ", ") + "]}}"
}

func defaults() *config.Config {
	c := config.Defaults()
	return &c
}

// Each right of a worker is missed where it lacks, and no other with it.
func TestCheckRights_EachIsMissed(t *testing.T) {
	t.Parallel()
	c := defaults()
	for _, missing := range []string{
		"redox.dlq.>", "redox.reply.>", "redox.turn.*", "redox.wake.>", "$KV.REDOX_STATE.>", "$KV.REDOX_LEDGER.>", "$O.REDOX_BODIES.>", "_INBOX.>",
		"$JS.API.STREAM.INFO.REDOX_DLQ", "$JS.API.STREAM.MSG.GET.REDOX_OUT", "$JS.API.CONSUMER.CREATE.REDOX_OUT.>", "$JS.API.CONSUMER.MSG.NEXT.REDOX_OUT.*",
		"$JS.ACK.REDOX_OUT.>", "$JS.ACK.REDOX_ADVISORIES.sweeper.>", "$JS.API.STREAM.PURGE.OBJ_REDOX_BODIES", "redox.out.*.send", "redox.gateway.>",
		"$JS.API.DIRECT.GET.KV_REDOX_STATE.>",
	} {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, needsAll(c, "^"+regexp.QuoteMeta(missing)+"$"))
			w.set = []string{"nats.user=worker", "nats.password=s3cret"}
			verbs := "(publish|subscribe)"
			r := w.check()
			found := slices.DeleteFunc(r.found(statusFault), func(line string) bool { return !strings.HasPrefix(line, "rights ") })
			want := regexp.MustCompile(`^rights ` + verbs + ` ` + regexp.QuoteMeta(missing) + `: user worker may not .*; allow it, or run check with the user of the workers$`)
			if len(found) == 0 || slices.ContainsFunc(found, func(line string) bool { return !want.MatchString(line) }) {
				t.Errorf("%q", found)
			}
		})
	}
}

// With exactly the rights that check asks for, it finds none missing, and nothing is left of what
// it tried.
func TestCheckRights_AreTriedWithoutHarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, needsAll(defaults(), ""))
	w.set = []string{"nats.user=worker", "nats.password=s3cret"}
	w.publish("redox.out.clinic-a.send")
	before := w.stored()
	r := w.check()
	w.whole(r)
	if after := w.stored(); after != before {
		t.Errorf("streams held %q, hold %q", before, after)
	}
	for _, f := range r.Findings {
		if f.Check == checkConsumers && f.Status != statusUnknown {
			t.Errorf("a user who may not list consumers: %v", f)
		}
	}
}

// What 5,000 sources lack alike is told once.
func TestCheckRights_OfManySources(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "{publish: {deny: [\"_INBOX_s.>\", \"_INBOX_s.*.in.>\"]}}")
	var text strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&text, "  s-%d: {id: 7ce6f387-c33c-417d-8682-%012d, key: main}\n", i, i)
	}
	w.must(os.Mkdir(w.path("d"), 0o700))
	w.write("d/many.yaml", "sources:\n"+text.String())
	w.set = []string{"nats.user=worker", "nats.password=s3cret", "sources_dir=" + w.path("d"), "reply.allow=_INBOX_s.{source}.in.>", "nats.provision=auto"}
	if out, _ := w.run("check"); strings.Count(out, "\n") > 22 || !strings.Contains(out, "and 4999 like it (--all shows them): publish _INBOX_s.s-") {
		t.Errorf("%s", out)
	}
	if r := w.check(); r.Faults != 5001 {
		t.Errorf("%d faults", r.Faults)
	}
}

// A user who may not hear answers where they come is told of the inbox.
func TestCheckRights_TheInboxIsAnothers(t *testing.T) {
	t.Parallel()
	permissions := strings.Replace(needsAll(defaults(), ""), `"_INBOX.>", `, `"_INBOX_mine.>", `, 1)
	w := newWorld(t, permissions)
	w.set = []string{"nats.user=worker", "nats.password=s3cret"}
	r := w.check("--timeout", "2s")
	mend := "set nats.inbox_prefix to the one that this user may subscribe to"
	if !slices.ContainsFunc(r.found(statusFault), func(line string) bool { return strings.HasPrefix(line, "rights ") && strings.HasSuffix(line, mend) }) {
		t.Errorf("%q", r.found(statusFault))
	}
	w.set = append(w.set, "nats.inbox_prefix=_INBOX_mine")
	w.whole(w.check())
}

// What check tries is what deploy/ allows the worker, and nothing else.
func TestCheckRights_AreThoseOfTheSamples(t *testing.T) {
	for _, user := range []string{"OPERATOR", "WORKER", "RELAY", "CONSOLE", "GATEWAY_CLIENT", "CLINIC_A", "CLINIC_B"} {
		t.Setenv("NATS_"+user+"_PASSWORD", "pw")
	}
	c := defaults()
	c.Audit.Stream, c.Registry, c.Reconcile.Enabled, c.Reconcile.GiveUp = true, true, true, 1
	c.Reply.Allow = []string{"_INBOX_{source}.>", "_INBOX_gateway-client.>"}
	c.Sources = map[string]config.Source{"clinic-a": {}, "clinic-b": {}}
	opts, err := server.ProcessConfigFile("../../../../deploy/nats/accounts.conf")
	if err != nil {
		t.Fatal(err)
	}
	// The second form of acknowledgements is a feature of the server that is off, flow control is of its
	// making, the inboxes are its own and those of operator and console, which ask services about themselves.
	beside := regexp.MustCompile(`^publish (\$JS\.ACK\.\*\.\*\.|\$JS\.FC\.|_INBOX_(operator|console)\.>)|^subscribe _INBOX_(worker|console)\.>`)
	for user, rights := range map[string][]right{"worker": rightsOf(c), "console": consoleRights(c)} {
		allowed, tried := allowedTo(opts, user), []string(nil)
		for _, r := range rights {
			tried = append(tried, r.String())
		}
		for _, a := range allowed {
			if !slices.ContainsFunc(tried, func(one string) bool { return a == one || covers(a, one) }) && !beside.MatchString(a) {
				t.Errorf("deploy/nats/accounts.conf has %q of %s, which check does not try", a, user)
			}
		}
		for _, one := range tried {
			if !slices.Contains(allowed, one) && !slices.ContainsFunc(allowed, func(a string) bool { return covers(a, one) }) {
				t.Errorf("check tries %q, which deploy/nats/accounts.conf does not have for %s", one, user)
			}
		}
		if len(tried) < 30 {
			t.Errorf("%d of %s are tried", len(tried), user)
		}
	}
}

// allowedTo are the rights of a user of a server.
func allowedTo(opts *server.Options, user string) (allowed []string) {
	for _, u := range opts.Users {
		if u.Username != user {
			continue
		}
		for _, s := range u.Permissions.Publish.Allow {
			allowed = append(allowed, "publish "+s)
		}
		for _, s := range u.Permissions.Subscribe.Allow {
			allowed = append(allowed, "subscribe "+s)
		}
	}
	return allowed
}

// The user of a worker is told to be too little for its console, and one with the rights of a console is
// enough; each that it lacks is named.
func TestCheckConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, needsAll(defaults(), ""))
	w.set = []string{"nats.user=worker", "nats.password=s3cret"}
	w.whole(w.check()) // there is no console
	w.set = append(w.set, "console.listen=127.0.0.1:0", "console.auth=none")
	r := w.check()
	if found := r.found(statusFault); len(found) != 1 || !strings.HasPrefix(found[0], "console console.nats: user worker lacks ") || !strings.Contains(found[0], "console and the inbox_prefix _INBOX_console") {
		t.Errorf("%q", found)
	}
	var publish []string
	for _, right := range consoleRights(defaults()) {
		if !right.listen && right.need != "redox.audit.*.deed" {
			publish = append(publish, `"`+right.need+`"`)
		}
	}
	w = newWorld(t, "{publish: {allow: ["+strings.Join(publish, ", ")+`]}, subscribe: {allow: ["_INBOX_c.>", "redox.reply.>"]}}`)
	w.set = []string{"console.nats.user=worker", "console.nats.password=s3cret", "console.nats.inbox_prefix=_INBOX_c"}
	before := w.stored()
	r = w.check()
	if found := r.found(statusFault); len(found) != 1 || !strings.HasPrefix(found[0], "console publish redox.audit.*.deed: user worker may not write into the audit trail") {
		t.Errorf("%q", found)
	}
	if after := w.stored(); after != before {
		t.Errorf("streams held %q, hold %q", before, after)
	}
	w.set = append(w.set, "console.nats.password=wrong")
	if found := w.check("--timeout", "2s").found(statusFault); len(found) != 1 || !strings.HasPrefix(found[0], "console console.nats: ") {
		t.Errorf("%q", found)
	}
}

// covers reports whether a right of a subject with > at its end includes another.
func covers(allowed, other string) bool {
	begin, ok := strings.CutSuffix(allowed, ">")
	return ok && strings.HasPrefix(other, begin)
}

// stored says what all streams hold.
func (w *world) stored() string {
	w.Helper()
	var lines []string
	list := w.js.ListStreams(w.Context())
	for info := range list.Info() {
		lines = append(lines, fmt.Sprintf("%s: last %d, %d messages, %d consumers", info.Config.Name, info.State.LastSeq, info.State.Msgs, info.State.Consumers))
	}
	w.must(list.Err())
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
