package redox

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// inserted is body with the Source ID, as a request would carry it.
func inserted(t rapid.TB, body string) string {
	t.Helper()
	e, err := readEnvelope([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	in := newInsertions(sourceID)
	all := in.fill([]byte(body), e.gap)
	return string(bytes.Join(all[:], nil))
}

func TestInsert(t *testing.T) {
	t.Parallel()
	const q = `"` + sourceID + `"`
	for name, tc := range map[string]struct{ body, want string }{
		"no Source":             {`{"Meta":{"DataModel":"A"}}`, `{"Meta":{"Source":{"ID":` + q + `},"DataModel":"A"}}`},
		"no Source, spread out": {"{\n  \"Meta\": {\n    \"DataModel\": \"A\"\n  }\n}\n", "{\n  \"Meta\": {\"Source\":{\"ID\":" + q + "},\n    \"DataModel\": \"A\"\n  }\n}\n"},
		"null":                  {`{"Meta":{"DataModel":"A","Source": null }}`, `{"Meta":{"DataModel":"A","Source": {"ID":` + q + `} }}`},
		"empty":                 {`{"Meta":{"Source":{}}}`, `{"Meta":{"Source":{"ID":` + q + `}}}`},
		"empty with space":      {`{"Meta":{"Source":{ }}}`, `{"Meta":{"Source":{"ID":` + q + ` }}}`},
		"name only":             {`{"Meta":{"Source":{"Name":"x"}}}`, `{"Meta":{"Source":{"ID":` + q + `,"Name":"x"}}}`},
		"ID null":               {`{"Meta":{"Source":{"Name":"x","ID": null,"z":1}}}`, `{"Meta":{"Source":{"Name":"x","ID": ` + q + `,"z":1}}}`},
		"ID empty":              {`{"Meta":{"Source":{"ID" :""}}}`, `{"Meta":{"Source":{"ID" :` + q + `}}}`},
		"ID present":            {`{"Meta":{"Source":{"ID":"x"}}}`, `{"Meta":{"Source":{"ID":"x"}}}`},
		"ID present, more":      {`{"Meta":{"Source":{"ID":"x","Name":"y"},"Test":true}}`, `{"Meta":{"Source":{"ID":"x","Name":"y"},"Test":true}}`},
		"a Meta below":          {`{"X":{"Meta":{"Source":null}},"Meta":{"Test":true}}`, `{"X":{"Meta":{"Source":null}},"Meta":{"Source":{"ID":` + q + `},"Test":true}}`},
		"numbers kept":          {`{"Meta":{"n":1.00000000000000000001e5},"é":"\u00e9"}`, `{"Meta":{"Source":{"ID":` + q + `},"n":1.00000000000000000001e5},"é":"\u00e9"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, inserted(t, tc.body)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInsert_SamplesAreUntouched(t *testing.T) {
	t.Parallel()
	for name, body := range samples(t) {
		if got := inserted(t, string(body)); got != string(body) {
			t.Errorf("%s was changed", name)
		}
		bare := strings.Replace(string(body), `"`+sourceID+`"`, `null`, 1)
		if got := inserted(t, bare); got != string(body) {
			t.Errorf("%s without its ID did not get it back", name)
		}
	}
}

// checkInsertion proves for any accepted body: the request has the same bytes in the same
// order but for one insertion (which may replace null or ""), and says the Source ID.
func checkInsertion(t rapid.TB, body string) {
	t.Helper()
	e, err := readEnvelope([]byte(body))
	if err != nil {
		return
	}
	g, out := e.gap, inserted(t, body)
	head, tail := body[:g.start], body[g.end:]
	if g.kind == gapNone {
		head, tail = body, ""
	}
	switch removed := body[g.start:g.end]; {
	case removed != "" && removed != "null" && removed != `""`:
		t.Errorf("%q was removed", removed)
	case !strings.HasPrefix(out, head) || !strings.HasSuffix(out, tail) || len(out) < len(head)+len(tail):
		t.Errorf("other bytes changed:\n%s\n%s", body, out)
	}
	again, err := readEnvelope([]byte(out))
	if err != nil {
		t.Fatalf("the result breaks the contract: %v\n%s", err, out)
	}
	if again.gap.kind != gapNone || (e.sourceID == nil && jsonscan.Unquote(again.sourceID) != sourceID) {
		t.Errorf("the Source ID is not there:\n%s", out)
	}
	if !json.Valid([]byte(out)) {
		t.Errorf("encoding/json refuses the result:\n%s", out)
	}
}

// space draws insignificant white space.
func space(t *rapid.T) string {
	return rapid.StringOfN(rapid.RuneFrom([]rune(" \t\r\n")), 0, 3, -1).Draw(t, "space")
}

// object writes members in a drawn order with drawn white space.
func object(t *rapid.T, members []string) string {
	var b strings.Builder
	b.WriteString("{" + space(t))
	for i, m := range rapid.Permutation(members).Draw(t, "order") {
		if i > 0 {
			b.WriteString("," + space(t))
		}
		b.WriteString(m + space(t))
	}
	return b.String() + "}"
}

func memberOf(t *rapid.T, name, value string) string {
	return `"` + name + `"` + space(t) + ":" + space(t) + value
}

// noise draws members nobody reads, with duplicate names among them.
func noise(t *rapid.T) []string {
	var out []string
	for range rapid.IntRange(0, 4).Draw(t, "noise") {
		name := rapid.SampledFrom([]string{"a", "a", "meta", "source", "Name", `\u0041`, "ü"}).Draw(t, "name")
		value := rapid.SampledFrom([]string{
			`1e400`, `-0.0`, `null`, `""`, `"\u0000\ud83d\ude00é"`, `[]`, `[ { } , null ]`,
			`{"Meta":{"Source":{"ID":"no"}}}`, `{"ID":"no","ID":"no"}`, `"{\"Meta\":"`,
		}).Draw(t, "value")
		out = append(out, memberOf(t, name, value))
	}
	return out
}

func TestInsert_ChangesNoOtherByte(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var source []string
		switch rapid.SampledFrom([]string{"none", "null", "object", "ID null", "ID empty", "ID"}).Draw(t, "source") {
		case "null":
			source = []string{memberOf(t, "Source", "null")}
		case "object":
			source = []string{memberOf(t, "Source", object(t, noise(t)))}
		case "ID null":
			source = []string{memberOf(t, "Source", object(t, append(noise(t), memberOf(t, "ID", "null"))))}
		case "ID empty":
			source = []string{memberOf(t, "Source", object(t, append(noise(t), memberOf(t, `I\u0044`, `""`))))}
		case "ID":
			source = []string{memberOf(t, "Source", object(t, append(noise(t), memberOf(t, "ID", `"`+sourceID+`"`))))}
		}
		meta := append(noise(t), memberOf(t, "DataModel", `"A"`), memberOf(t, "EventType", `"B"`))
		body := space(t) + object(t, append(noise(t), memberOf(t, "Meta", object(t, append(meta, source...))))) + space(t)
		if _, err := readEnvelope([]byte(body)); err != nil {
			t.Fatalf("refused: %v\n%s", err, body)
		}
		checkInsertion(t, body)
	})
}

func FuzzInsert(f *testing.F) {
	for _, seed := range []string{
		event, accepted, `{"Meta":{}}`, `{"Meta":{"Source":null}}`, `{"Meta":{"Source":{}}}`, `{"Meta":{"Source":{"ID":""}}}`,
		`{"Meta":{"Source":{"ID":null,"Name":""}}}`, `{"\u004deta":{"Source":{"I\u0044":null}}}`, `{"Meta":{},"Meta":{}}`,
		" { \"Meta\" : { \"Source\" : { } } } ", `{"Meta":{"Destinations":[{},{"ID":"x"}],"Test":null}}`, `[]`, ``, `{`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		checkInsertion(t, string(body))
		if _, err := ReadMeta(body); err == nil && !json.Valid(body) {
			t.Error("accepted what is not JSON")
		}
		if !bytes.Equal(before, body) {
			t.Error("the body was changed")
		}
	})
}

func TestInsert_Allocations(t *testing.T) {
	in := newInsertions(sourceID)
	for _, body := range []string{sent, event} {
		body := []byte(body)
		got := testing.AllocsPerRun(100, func() {
			e, err := readEnvelope(body)
			if err != nil {
				t.Fatal(err)
			}
			_ = in.fill(body, e.gap)
		})
		const scanner = 3 // the pool may be empty, and is at random under the race detector
		if got > scanner {
			t.Errorf("%v allocations", got)
		}
	}
}

func TestGuard_Lanes(t *testing.T) {
	t.Parallel()
	c := client(t, "http://127.0.0.1:1", &keyring{})
	for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneOrdered, contract.LaneRequest} {
		m := message(lane, event)
		if _, err := c.guard(c.sender("clinic-a"), &m); err != nil {
			t.Errorf("%s: %v", lane, err)
		}
	}
}
