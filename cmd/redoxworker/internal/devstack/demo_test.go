package devstack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/clitest"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
)

func TestDemo_TellsEveryMessageAndEndsWell(t *testing.T) {
	t.Parallel()
	a, out, errs := clitest.App("demo", "--json")
	if code := run(t.Context(), *a); code != cli.ExitOK || errs.String() != "" {
		t.Fatalf("exit %d, stderr %s", code, errs)
	}
	told := map[string][]string{}
	var summary demoSummary
	for line := range strings.Lines(out.String()) {
		var h happening
		if err := json.Unmarshal([]byte(line), &h); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if h.Event == "summary" {
			if err := json.Unmarshal([]byte(line), &summary); err != nil {
				t.Fatal(err)
			}
			continue
		}
		told[h.Name] = append(told[h.Name], h.Event)
	}
	want := map[string][]string{
		"PatientAdmin.NewPatient": {"publish", "delivered"}, "PatientAdmin.Arrival": {"publish", "delivered"},
		"PatientAdmin.Transfer": {"publish", "delivered"}, "PatientAdmin.Discharge": {"publish", "delivered"},
		"PatientAdmin.Registration": {"publish", "delivered"}, "Order.New": {"publish", "delivered"},
		"PatientAdmin.VisitUpdate": {"publish", "delivered"}, "Scheduling.New": {"publish", "renew", "delivered"},
		"Results.New": {"publish", "retry", "delivered"}, "Device.New": {"publish", "rejected"},
		"PatientSearch.Query": {"publish", "answered"}, "Scheduling.AvailableSlots": {"publish", "answered"},
		"Clinical Summary.PatientQuery": {"publish", "answered"},
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("events by message (-want +got):\n%s", diff)
	}
	if !summary.OK || summary.Delivered != 12 || summary.Messages != 13 || !summary.Redox.InOrder ||
		!slices.Equal(summary.Streams, []demoStream{{"REDOX_OUT", 0}, {"REDOX_DLQ", 1}, {"REDOX_REPLIES", 1}}) {
		t.Errorf("summary %+v", summary)
	}
}

// A demo that cannot fail would show nothing: with other faults it says what differed.
func TestDemo_SaysWhatDiffered(t *testing.T) {
	t.Parallel()
	samples, err := demoSamples()
	if err != nil {
		t.Fatal(err)
	}
	a, out, _ := clitest.App()
	d := newDemonstration("none", samples, newLines(a, 29))
	summary, err := d.run(t.Context(), a)
	d.view.close()
	if err != nil {
		t.Fatal(err)
	}
	summary.print(a)
	if summary.OK || strings.Contains(out.String(), "as they should") {
		t.Errorf("all is well without the faults of the demo: %s", out)
	}
	text := strings.Join(summary.Differences, "\n")
	for _, want := range []string{
		"appointment: delivered with status 200 at attempt 1, answered 200 instead of delivered with status 200 at attempt 1, answered 401 200",
		"result: delivered with status 200 at attempt 1, answered 200 instead of delivered with status 200 at attempt 2, answered 503 200",
		"device: delivered with status 200", "tokens: {1 0} instead of {2 1}", "messages in REDOX_DLQ: 0 instead of 1",
		"messages taken by Redox: 13 instead of 12", "requests with a Source ID: 13 instead of 15",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among the differences:\n%s", want, text)
		}
	}
	if n := len(summary.Differences); n != 7 {
		t.Errorf("%d differences:\n%s", n, text)
	}
}

func TestDemo_NamesWhatIsOpenWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	samples, err := demoSamples()
	if err != nil {
		t.Fatal(err)
	}
	a, out, _ := clitest.App()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	d := newDemonstration("unauthorized", samples, newLines(a, 29))
	ended := make(chan error, 1)
	go func() { _, err := d.run(ctx, a); ended <- err }()
	clitest.Eventually(t, "all samples are published", func() bool { return strings.Count(out.String(), "publish") >= len(samples) }, out.String)
	cancel(errors.New("time is up"))
	err = <-ended
	d.view.close()
	if err == nil || !strings.HasPrefix(err.Error(), "time is up; still open: appointment, arrival, device, discharge") {
		t.Errorf("error %v", err)
	}
}

// Nothing in the samples may be taken for a person, and each is what the simulator accepts.
func TestDemoSamples_AreSyntheticAndAccepted(t *testing.T) {
	t.Parallel()
	samples, err := demoSamples()
	if err != nil {
		t.Fatal(err)
	}
	files, err := sampleFiles.ReadDir("samples")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(samples)+1 { // report.pdf
		t.Errorf("%d files, %d samples", len(files), len(samples))
	}
	events := map[string]bool{}
	for _, s := range samples {
		if events[s.event] {
			t.Errorf("%s is there twice: the record of the simulator tells messages apart by it", s.event)
		}
		events[s.event] = true
		model, event, _ := strings.Cut(s.event, ".")
		if redoxsim.IsQuery(model, event) != (s.lane == contract.LaneRequest) {
			t.Errorf("%s in lane %s", s.event, s.lane)
		}
		if len(s.body) > 1000 || !bytes.Contains(s.body, []byte(`"Test": true`)) || bytes.Contains(s.body, []byte(`"Source"`)) {
			t.Errorf("%s is not a small test message without a Source ID", s.file)
		}
		if strings.Contains(string(s.body), "Demographics") && !strings.Contains(string(s.body), `"LastName": "Example"`) {
			t.Errorf("%s is about somebody", s.file)
		}
	}
}

func TestDemonstration_InOrder(t *testing.T) {
	t.Parallel()
	d := &demonstration{samples: []sample{
		{event: "A.1", orderKey: "a"}, {event: "B.1", orderKey: "b"}, {event: "A.2", orderKey: "a"}, {event: "C.1"}}}
	arrival := func(seq, begin, finish uint64, key string) redoxsim.Arrival {
		return redoxsim.Arrival{Seq: seq, Begin: begin, Finish: finish, Key: key}
	}
	for name, tt := range map[string]struct {
		arrivals []redoxsim.Arrival
		want     bool
	}{
		"as published":         {[]redoxsim.Arrival{arrival(1, 1, 2, "A.1"), arrival(2, 3, 5, "B.1"), arrival(3, 4, 6, "A.2"), arrival(4, 7, 8, "C.1")}, true},
		"another patient's":    {[]redoxsim.Arrival{arrival(1, 1, 2, "A.1"), arrival(2, 3, 5, "A.2"), arrival(3, 4, 6, "B.1")}, true},
		"turned around":        {[]redoxsim.Arrival{arrival(1, 1, 2, "A.2"), arrival(2, 3, 4, "A.1"), arrival(3, 5, 6, "B.1")}, false},
		"two at once":          {[]redoxsim.Arrival{arrival(1, 1, 3, "A.1"), arrival(2, 2, 4, "A.2"), arrival(3, 5, 6, "B.1")}, false},
		"one missing":          {[]redoxsim.Arrival{arrival(1, 1, 2, "A.1"), arrival(2, 3, 4, "B.1")}, false},
		"one twice":            {[]redoxsim.Arrival{arrival(1, 1, 2, "A.1"), arrival(2, 3, 4, "A.1"), arrival(3, 5, 6, "A.2"), arrival(4, 7, 8, "B.1")}, false},
		"unordered ones first": {[]redoxsim.Arrival{arrival(1, 1, 9, "C.1"), arrival(2, 2, 3, "A.1"), arrival(3, 4, 5, "A.2"), arrival(4, 6, 7, "B.1")}, true},
	} {
		if got := d.inOrder(tt.arrivals); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
