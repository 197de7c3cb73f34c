package conformance

import (
	"slices"
	"strings"
	"testing"
)

// Each example does what the contract says of it, and the worker gets what it sends.
func TestExamples_DoWhatTheContractSays(t *testing.T) {
	t.Parallel()
	for _, c := range there(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := startDev(t, t.TempDir())
			dir := desk(t, d.secret)
			run := func(script string) string {
				t.Helper()
				return output(t, dir, d.server, append(slices.Clone(c.run), c.file(script))...)
			}
			shows := func(script, out string, parts ...string) {
				t.Helper()
				for _, part := range parts {
					if !strings.Contains(out, part) {
						t.Errorf("%s does not show %q:\n%s", c.file(script), part, out)
					}
				}
			}

			shows("send", run("send"), "REDOX_OUT")
			shows("send", strings.ToLower(run("send")), "duplicate: true")
			d.await(event{Event: "delivered", Message: "visit-1", Source: "clinic-a", Lane: "send", Status: 200})

			waiting := make(chan string, 1) // for a reply that is not there yet
			go func() {
				out, _ := command(t.Context(), dir, d.server, append(slices.Clone(c.run), c.file("read-reply"))...).CombinedOutput()
				waiting <- string(out)
			}()
			shows("send-ordered", run("send-ordered"), "REDOX_OUT")
			d.await(event{Event: "delivered", Message: "visit-2", Source: "clinic-a", Lane: "ordered", Status: 200})
			shows("read-reply", <-waiting, "delivered", "200", `"DataModel":"PatientAdmin"`)
			shows("read-reply", run("read-reply"), "delivered", "200", `"DataModel":"PatientAdmin"`)

			shows("request", run("request"), `"EventType":"Query"`)
			d.await(event{Event: "answered", Source: "clinic-a", Lane: "request", Status: 200})

			shows("read", run("read"), `"resourceType":"Patient"`)

			if out := run("dead-letters"); strings.Contains(out, "poison") {
				t.Errorf("%s shows dead letters before there are any:\n%s", c.file("dead-letters"), out)
			}
			output(t, dir, d.server, "nats", "pub", "redox.out.clinic-a.send", "{}", "--jetstream", "-H", "Redox-Message-Id:bad-1")
			d.await(event{Event: "poison", Message: "bad-1"})
			shows("dead-letters", run("dead-letters"), "bad-1", "poison", "there is no Meta")
			for _, message := range []string{"visit-1", "visit-2"} {
				if n := d.count(message); n != 1 {
					t.Errorf("%s was settled %d times", message, n)
				}
			}
		})
	}
}
