package redox

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/answer"
)

var update = flag.Bool("update", false, "write testdata/classification.golden")

// answered is a body as somebody answers it.
type answered struct{ name, contentType, body string }

const (
	asJSON = "application/json"
	asFHIR = "application/fhir+json"
	asHTML = "text/html; charset=utf-8"
)

// farBodies are what Redox answers, what it is said to answer, and what others do.
var farBodies = []answered{
	{"none", "", ""},
	{"none, JSON", asJSON, ""},
	{"blank", "text/plain", "\r\n"},
	{"accepted", asJSON, accepted},
	{"accepted, labelled HTML", asHTML, accepted},
	{"accepted, half", asJSON, accepted[:90]},
	{"accepted, byte order mark", asJSON, "\ufeff" + accepted},
	{"query's answer", asJSON, `{"Meta":{"DataModel":"Clinical Summary","EventType":"PatientQuery","Logs":[{"ID":"log-1"}]},"Header":{}}`},
	{"Meta alone", asJSON, `{"Meta":{}}`},
	{"Meta null", asJSON, `{"Meta":null}`},
	{"object", asJSON, `{}`},
	{"list", asJSON, `[]`},
	{"null", asJSON, `null`},
	{"number", asJSON, `42`},
	{"two values", asJSON, `{"Meta":{}}{"Meta":{}}`},
	{"Meta.Errors", asJSON, metaErrors},
	{"Meta.Errors empty", asJSON, `{"Meta":{"Errors":[]}}`},
	{"Errors", asJSON, topErrors},
	{"Errors, text", asJSON, `{"Errors":"Timothy"}`},
	{"transmission", asJSON, transmission},
	{"parser, on FHIR", asJSON, `{"Meta":{"Logs":[{"ID":"log-1"}],"Errors":[{"Text":"Timothy","Type":"message","Module":"Parser"}]}}`},
	{"issues", asJSON, `{"issues":[{"severity":"error","code":"processing","diagnostics":"Timothy"}]}`},
	{"Issues, text", asJSON, `{"Issues":[{"Text":"Timothy","DestinationStatusCode":500}]}`},
	{"Issues beside Meta", asJSON, `{"Meta":{"Logs":[{"ID":"log-1"}]},"Issues":[{"Severity":"Fatal","Code":"exception"}]}`},
	{"Issues, warning", asJSON, `{"Meta":{},"Issues":[{"Severity":"warning"}]}`},
	{"issue, bare", asJSON, `{"issue":[{"severity":"error","code":"not-found"}]}`},
	{"resource", asFHIR, `{"resourceType":"Patient","id":"1"}`},
	{"outcome", asFHIR, operation},
	{"outcome, warning", asFHIR, operationInfo},
	{"outcome, MSG_NO_MODULE", asFHIR, `{"resourceType":"OperationOutcome","issue":[{"severity":"fatal","code":"not-found","details":{"coding":[{"code":"MSG_NO_MODULE"}],"text":"Timothy"}}]}`},
	{"outcome, lock-error", asFHIR, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"lock-error"}]}`},
	{"outcome, throttled and invalid", asFHIR, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"throttled"},{"severity":"error","code":"invalid"}]}`},
	{"searchset", asFHIR, `{"resourceType":"Bundle","type":"searchset","total":1,"entry":[{"resource":{"resourceType":"Patient"}}]}`},
	{"transaction, created", asFHIR, `{"resourceType":"Bundle","type":"transaction-response","entry":[{"response":{"status":"201 Created"}}]}`},
	{"batch, one 404", asFHIR, `{"resourceType":"Bundle","type":"batch-response","entry":[{"response":{"status":"200"}},{"response":{"status":"404"}}]}`},
	{"message, ok", asFHIR, `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader","response":{"identifier":"1","code":"ok"}}}]}`},
	{"message, fatal-error", asFHIR, `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"response":{"code":"fatal-error"},"resourceType":"MessageHeader"}}]}`},
	{"message, transient-error", asFHIR, `{"resourceType":"MessageHeader","response":{"code":"transient-error"}}`},
	{"URI", asJSON, `{"URI":"https://blob.redoxengine.com/1"}`},
	{"text", "text/plain", "OK"},
	{"text, labelled HTML", "text/html", "Invalid request"},
	{"page", asHTML, "<!DOCTYPE html><title>Sign in</title>"},
	{"page, no label", "", "\n<HTML><head>"},
	{"page behind a comment", "text/html", "<!-- 7 --><html>"},
	{"fragment, labelled HTML", asHTML, "<h1>403 Forbidden</h1>"},
	{"XML", "application/fhir+xml", `<Patient xmlns="http://hl7.org/fhir"/>`},
	{"PDF", "application/pdf", "%PDF-1.7"},
	{"lines", "application/fhir+ndjson", "{}\n{}\n"},
	{"lines, outcome", "application/fhir+ndjson", operation + "\n"},
}

// statuses are those that RFC 9110 and others name, Cloudflare's, and some of nobody's.
var statuses = func() (all []int) {
	for _, r := range [][2]int{{200, 208}, {226, 226}, {300, 308}, {400, 418}, {421, 426}, {428, 429}, {431, 431}, {451, 451}, {460, 460}, {494, 499}, {500, 511}, {520, 530}, {561, 561}, {598, 599}, {700, 700}} {
		for s := r[0]; s <= r[1]; s++ {
			all = append(all, s)
		}
	}
	return all
}()

// outcomeOf says what a client makes of an answer, with all that the worker reads of it.
func outcomeOf(ctx context.Context, c *Client, kind outbox.Kind, lane contract.Lane, status int, a answered) string {
	out := call{
		sender: c.sender("clinic-a"), kind: kind, request: lane == contract.LaneRequest,
		bare: kind == outbox.KindFHIR || kind == outbox.KindPlatform, names: kind == outbox.KindFile,
	}
	out.reply.Status, out.reply.ContentType, out.reply.Body, out.reply.size = status, a.contentType, []byte(a.body), int64(len(a.body))
	e := c.classify(ctx, &out)
	if e == nil {
		if out.reply.Flag != "" {
			return "delivered, flagged: " + out.reply.Flag
		}
		return "delivered"
	}
	says := []string{"retry"}
	if e.Permanent() {
		says[0] = "rejected"
	}
	for what, is := range map[string]bool{"unknown outcome": e.UnknownOutcome(), "doubtful": e.DoubtfulOutcome(), "not counted": !e.Attempted(), "trouble of the host": e.Trouble(), "refuses the source": e.SourceRefused()} {
		if is {
			says = append(says, what)
		}
	}
	slices.Sort(says[1:])
	if e.Pauses() != "" {
		says = append(says, "pauses "+e.Pauses())
	}
	text := strings.Replace(e.SafeError(), "status "+strconv.Itoa(status)+": ", "", 1)
	return strings.Join(says, ", ") + ": " + text
}

// table is the classification of all statuses and bodies, for each kind and lane. Statuses that
// are treated alike share a line; the codes that are quoted stand behind the name of the body.
func table(t *testing.T) string {
	c := client(t, "https://api.example", fixed("token"))
	var b strings.Builder
	fmt.Fprintf(&b, "%d statuses, %d bodies\n", len(statuses), len(farBodies))
	for _, kind := range []outbox.Kind{outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform} {
		for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
			fmt.Fprintf(&b, "\n== %s, %s\n", kind, lane)
			alike := map[string][]string{} // outcomes of all statuses: bodies
			var order []string
			for _, body := range farBodies {
				codes := answer.Find([]byte(body.body))
				lines := linesOf(func(status int) string {
					return strings.Replace(outcomeOf(t.Context(), c, kind, lane, status, body), "("+codes.RemoteText()+")", "(codes)", 1)
				})
				if alike[lines] == nil {
					order = append(order, lines)
				}
				alike[lines] = append(alike[lines], strings.TrimSuffix(body.name+" ("+codes.RemoteText()+")", " ()"))
			}
			for _, lines := range order {
				fmt.Fprintf(&b, "-- %s\n%s", strings.Join(alike[lines], " | "), lines)
			}
		}
	}
	return b.String()
}

// linesOf is a line for each outcome, in the order of the statuses.
func linesOf(outcome func(status int) string) string {
	by := map[string][]int{}
	for _, status := range statuses {
		o := outcome(status)
		by[o] = append(by[o], status)
	}
	var b strings.Builder
	for _, o := range slices.SortedFunc(maps.Keys(by), func(a, z string) int { return by[a][0] - by[z][0] }) {
		fmt.Fprintf(&b, "   %s: %s\n", ranges(by[o]), o)
	}
	return b.String()
}

// ranges writes statuses, those in a row as one.
func ranges(list []int) string {
	var parts []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && slices.Index(statuses, list[j+1]) == slices.Index(statuses, list[j])+1 {
			j++
		}
		switch {
		case j == i:
			parts = append(parts, strconv.Itoa(list[i]))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", list[i], list[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, " ")
}

// Every status with every body, for each kind and lane. After a change, read the difference against
// the table in worker/DESIGN.md: go test -run TestClassify_Table ./worker/redox -update
func TestClassify_Table(t *testing.T) {
	t.Parallel()
	if len(statuses) < 75 || len(farBodies) < 45 {
		t.Errorf("%d statuses and %d bodies", len(statuses), len(farBodies))
	}
	got, file := table(t), filepath.Join("testdata", "classification.golden")
	if strings.Contains(got, "Timothy") {
		t.Error("it holds something of a body")
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

// What the table says is what comes over HTTP.
func TestClassify_TableOverHTTP(t *testing.T) {
	t.Parallel()
	for i, body := range farBodies {
		status := statuses[(i*37)%len(statuses)]
		if status == http.StatusNoContent || status == http.StatusNotModified || status == http.StatusResetContent {
			status = http.StatusOK
		}
		far := serve(t, respond(status, body.body, "Content-Type", body.contentType))
		c := client(t, far.URL, &keyring{})
		want := outcomeOf(t.Context(), c, outbox.KindDataModel, contract.LaneSend, status, body)
		a, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
		got := "delivered"
		switch {
		case err != nil:
			got = failure(t, err).SafeError()
			want = strings.Replace(want[strings.Index(want, ": ")+2:], ": ", ": status "+strconv.Itoa(status)+": ", 1)
		case a.Flag != "":
			got += ", flagged: " + a.Flag
		}
		if !strings.HasSuffix(got, want) && got != want {
			t.Errorf("%d %s: %s, want %s", status, body.name, got, want)
		}
	}
}
