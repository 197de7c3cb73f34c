package redox

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

func TestDeliver_Accepted(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted, "Content-Type", "application/json; charset=utf-8"))
	c := client(t, r.URL, &keyring{})
	got, err := c.Deliver(t.Context(), message(contract.LaneSend, event))
	if err != nil {
		t.Fatal(err)
	}
	want := outbox.Answer{Status: 200, ContentType: "application/json; charset=utf-8", Body: []byte(accepted), LogIDs: []string{acceptedLog}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	seen := r.seen()
	if len(seen) != 1 {
		t.Fatalf("%d requests", len(seen))
	}
	a := seen[0]
	if a.method != "POST" || a.path != "/endpoint" || a.body != sent {
		t.Errorf("%s %s\n%s", a.method, a.path, a.body)
	}
	header := http.Header{
		"Authorization": {"Bearer token-1"}, "Content-Type": {"application/json"}, "Accept": {"application/json"},
		"Redox-Source-Id": {sourceID}, "User-Agent": {"redoxworker"}, "Content-Length": {"256"},
	}
	if diff := cmp.Diff(header, a.header); diff != "" {
		t.Error(diff)
	}
}

func TestDeliver_PathsAndHeaders(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL+"/gateway/", &keyring{}, func(c *Config, _ *Source) {
		c.EndpointPath, c.UserAgent = "/query", "tests/1"
	})
	m := message(contract.LaneRequest, event)
	m.ContentType, m.Accept = "application/json; charset=utf-8", "application/vnd.x+json"
	if _, err := c.Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	a := r.seen()[0]
	for name, want := range map[string]string{"Content-Type": m.ContentType, "Accept": m.Accept, "User-Agent": "tests/1"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if a.path != "/gateway/query" {
		t.Error(a.path)
	}
}

func TestDeliver_TraceContext(t *testing.T) {
	t.Parallel()
	const own = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	state, err := trace.ParseTraceState("vendor=span")
	if err != nil {
		t.Fatal(err)
	}
	span := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1, 2, 3}, SpanID: trace.SpanID{4}, TraceFlags: trace.FlagsSampled, TraceState: state,
	})
	for name, tc := range map[string]struct {
		span                  bool
		parent, state         string
		wantParent, wantState string
	}{
		"none":             {},
		"the message's":    {parent: own, state: "a=b", wantParent: own, wantState: "a=b"},
		"the span's":       {span: true, parent: own, state: "a=b", wantParent: "00-01020300000000000000000000000000-0400000000000000-01", wantState: "vendor=span"},
		"malformed parent": {parent: "x\r\ny: z", state: "a=b"},
		"malformed state":  {parent: own, state: "a\n", wantParent: own},
		"state alone":      {state: "a=b"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, respond(200, accepted))
			c := client(t, r.URL, &keyring{})
			m := message(contract.LaneSend, event)
			m.TraceParent, m.TraceState = tc.parent, tc.state
			ctx := t.Context()
			if tc.span {
				ctx = trace.ContextWithSpanContext(ctx, span)
			}
			if _, err := c.Deliver(ctx, m); err != nil {
				t.Fatal(err)
			}
			h := r.seen()[0].header
			if h.Get("traceparent") != tc.wantParent || h.Get("tracestate") != tc.wantState {
				t.Errorf("traceparent %q, tracestate %q", h.Get("traceparent"), h.Get("tracestate"))
			}
		})
	}
}

// withSource is event with a Meta.Source.
func withSource(source string) string {
	return strings.Replace(event, `"Test"`, `"Source":`+source+`,"Test"`, 1)
}

func allowOther(_ *Config, s *Source) { s.AllowOtherSource = true }

func production(_ *Config, s *Source) { s.Environment = "production" }

func limit(n int64) setting { return func(c *Config, _ *Source) { c.MaxBody = n } }

// Events with two destinations and with an empty one.
var (
	toTwo  = strings.Replace(event, `"Destinations":[`, `"Destinations":[{"ID":"x"},`, 1)
	toNone = strings.Replace(event, `"ID":"`+destID+`","Name":"EMR"`, ``, 1)
)

// guardCase is a message and what the guards make of it.
type guardCase struct {
	lane     contract.Lane
	body     string
	set      setting
	settle   string // "poison", "rejected" or "" for delivered
	want     string // in the safe text
	sourceID string // header, when delivered
}

var guardCases = map[string]guardCase{
	"event":                     {body: event, sourceID: sourceID},
	"not JSON":                  {body: "MSH|", settle: "poison", want: "not valid JSON"},
	"no DataModel":              {body: strings.Replace(event, "DataModel", "X", 1), settle: "poison", want: "Meta.DataModel is missing"},
	"no EventType":              {body: strings.Replace(event, "EventType", "X", 1), settle: "poison", want: "Meta.EventType is missing"},
	"no destination":            {body: toNone, settle: "poison", want: "no destination"},
	"no Destinations":           {body: strings.Replace(event, "Destinations", "X", 1), settle: "poison", want: "no destination"},
	"request":                   {lane: contract.LaneRequest, body: event, sourceID: sourceID},
	"request to two":            {lane: contract.LaneRequest, body: toTwo, settle: "poison", want: "2 destinations; a request has exactly one"},
	"send to two":               {body: toTwo, sourceID: sourceID},
	"test to production":        {body: event, set: production, settle: "rejected", want: "Meta.Test is true"},
	"no test to production":     {body: strings.Replace(event, "true", "false", 1), set: production, sourceID: sourceID},
	"own Source":                {body: withSource(`{"ID":"` + sourceID + `"}`), sourceID: sourceID},
	"own Source in capitals":    {body: withSource(`{"ID":"` + strings.ToUpper(sourceID) + `"}`), sourceID: sourceID},
	"own Source, escaped":       {body: withSource(`{"ID":"\u0037` + sourceID[1:] + `"}`), sourceID: sourceID},
	"other Source":              {body: withSource(`{"ID":"` + otherID + `"}`), settle: "rejected", want: "Meta.Source.ID is not that of the source"},
	"other Source allowed":      {body: withSource(`{"ID":"` + otherID + `"}`), set: allowOther, sourceID: otherID},
	"other Source no header":    {body: withSource(`{"ID":"a\r\nb"}`), set: allowOther, settle: "poison", want: "Meta.Source.ID is not an identifier"},
	"absent Source, allowed":    {body: event, set: allowOther, sourceID: sourceID},
	"poison before rejection":   {body: strings.Replace(withSource(`{"ID":"`+otherID+`"}`), "EventType", "X", 1), settle: "poison", want: "EventType"},
	"at the limit":              {body: event, set: limit(int64(len(sent))), sourceID: sourceID},
	"over the limit":            {body: event, set: limit(int64(len(sent)) - 1), settle: "poison", want: "the body has 256 bytes; the limit is 255"},
	"body alone over the limit": {body: event, set: limit(10), settle: "poison", want: "the limit is 10"},
	"no limit":                  {body: event, set: limit(-1), sourceID: sourceID},
}

func TestDeliver_Guards(t *testing.T) {
	t.Parallel()
	for name, tc := range guardCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, respond(200, accepted))
			if tc.set == nil {
				tc.set = func(*Config, *Source) {}
			}
			keys := &keyring{}
			c := client(t, r.URL, keys, tc.set)
			if tc.lane == "" {
				tc.lane = contract.LaneSend
			}
			a, err := c.Deliver(t.Context(), message(tc.lane, tc.body))
			if tc.settle == "" {
				if err != nil {
					t.Fatal(err)
				}
				if got := r.seen()[0].header.Get("Redox-Source-Id"); got != tc.sourceID {
					t.Errorf("Redox-Source-Id = %q", got)
				}
				return
			}
			e := failure(t, err)
			if e.Poison() != (tc.settle == "poison") || e.Permanent() != (tc.settle == "rejected") || !strings.Contains(e.SafeError(), tc.want) {
				t.Errorf("poison %v, permanent %v: %v", e.Poison(), e.Permanent(), e)
			}
			if e.Attempted() || e.UnknownOutcome() || e.DoubtfulOutcome() || e.Pauses() != "" || e.Status() != 0 || a.Status != 0 {
				t.Errorf("a guard says more than that it refuses: %+v %+v", e, a)
			}
			if len(r.seen()) != 0 || keys.asked != 0 {
				t.Error("a guard came after the token or the request")
			}
		})
	}
}

func TestDeliver_HeaderInjectionIsPoison(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL, &keyring{})
	for _, bad := range []string{"a\r\nAuthorization: Bearer x", "a\x00", "a\x7f"} {
		m := message(contract.LaneSend, event)
		m.ContentType = bad
		if _, err := c.Deliver(t.Context(), m); !failure(t, err).Poison() {
			t.Errorf("Content-Type %q: %v", bad, err)
		}
		m.ContentType, m.Accept = "", bad
		if _, err := c.Deliver(t.Context(), m); !failure(t, err).Poison() {
			t.Errorf("Accept %q: %v", bad, err)
		}
	}
	if len(r.seen()) != 0 {
		t.Error("something was sent")
	}
}
