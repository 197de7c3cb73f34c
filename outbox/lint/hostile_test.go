package lint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const orderNew = `{"Meta":{"DataModel":"Order","EventType":"New"},"A":"x"}`

// Schemas that cannot be used say so and stop nobody; nothing outside of the directory is opened.
func TestCheck_SchemasThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked.Add(1) }))
	t.Cleanup(web.Close)
	outside := files(t, map[string]string{"s.json": `{"type":"string"}`})
	chain := func(n int, last string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"d%d":{"allOf":[{"$ref":"#/definitions/d%d"}]},`, i, i+1)
		}
		return `{"allOf":[{"$ref":"#/definitions/d0"}],"definitions":{` + b.String() + fmt.Sprintf(`"d%d":%s}}`, n, last)
	}
	for name, tc := range map[string]struct{ schema, want string }{
		"another host":          {`{"properties":{"A":{"$ref":"` + web.URL + `/s.json"}}}`, "another host"},
		"another host by id":    {`{"id":"` + web.URL + `/x.json","properties":{"A":{"$ref":"s.json"}}}`, "another host"},
		"its own $schema":       {`{"$schema":"` + web.URL + `/s.json","type":"object"}`, "another host"},
		"a file by its URL":     {`{"properties":{"A":{"$ref":"file://` + outside + `/s.json"}}}`, "another host"},
		"a host of ours":        {`{"properties":{"A":{"$ref":"schemas://web/s.json"}}}`, "another host"},
		"a way out":             {`{"properties":{"A":{"$ref":"../../../../../../../..` + outside + `/s.json"}}}`, "not in the directory"},
		"a way out, encoded":    {`{"properties":{"A":{"$ref":"%2e%2e/%2e%2e/%2e%2e/%2e%2e` + outside + `/s.json"}}}`, "not in the directory"},
		"a link that leads out": {`{"properties":{"A":{"$ref":"link.json"}}}`, "not in the directory"},
		"a folder":              {`{"properties":{"A":{"$ref":"../order"}}}`, "not in the directory"},
		"not there":             {`{"properties":{"A":{"$ref":"none.json"}}}`, "not there"},
		"not there, inside":     {`{"properties":{"A":{"$ref":"#/definitions/None"}}}`, "does not have"},
		"not JSON":              {`{`, "not one JSON text"},
		"no schema":             {`{"type":"SECRET"}`, "no JSON schema"},
		"another draft":         {`{"$schema":"http://json-schema.org/draft-99/schema#"}`, "another host"},
		"a pattern of others":   {`{"properties":{"A":{"pattern":"(?=SECRET)"}}}`, "has a pattern"},
		"a pattern too large":   {`{"properties":{"A":{"pattern":"((x{90}){90}){90}"}}}`, "has a pattern"},
		"a pattern too long":    {`{"properties":{"A":{"pattern":"` + strings.Repeat("x", 2000) + `"}}}`, "has a pattern"},
		"without an end":        {chain(3, `{"$ref":"#"}`), "without an end"},
		"a long chain":          {chain(200, `{}`), "without an end"},
		"huge":                  {`{"title":"` + strings.Repeat("x", maxFile) + `"}`, "larger than a schema"},
		"many values":           {`{"enum":[0` + strings.Repeat(",0", maxKeywords) + `]}`, "larger than a schema"},
		"deep":                  {strings.Repeat(`{"not":`, 300) + `{}` + strings.Repeat(`}`, 300), "larger than a schema"},
		"large numbers":         {`{"properties":{"A":{"minLength":1e999999}}}`, "larger than a schema"},
		"many ids":              {`{"definitions":{"a":{}` + strings.Repeat(`,"b":{"id":"x"}`, 1) + `},"anyOf":[{"id":"0"}` + strings.Repeat(`,{"id":"1"}`, maxResources) + `]}`, "larger than a schema"},
		"dynamic":               {`{"$schema":"https://json-schema.org/draft/2020-12/schema","$dynamicRef":"#x","$defs":{"x":{"$dynamicAnchor":"x"}}}`, "depend on where"},
	} {
		dir := files(t, map[string]string{"order/new.json": tc.schema, "order/query.json": `{"type":"object"}`})
		if err := os.Symlink(filepath.Join(outside, "s.json"), filepath.Join(dir, "order/link.json")); err != nil {
			t.Fatal(err)
		}
		l, err := New(dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := message("")
		for range 2 { // also the second time
			m.Body = []byte(orderNew)
			if err := l.Check(t.Context(), m); !errors.Is(err, ErrUnchecked) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "order/new.json") || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: %v", name, err)
			}
		}
		m.Body = []byte(strings.Replace(orderNew, "New", "Query", 1))
		if err := l.Check(t.Context(), m); err != nil {
			t.Errorf("%s: its neighbour: %v", name, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// What a schema can make of a message ends: nothing here would for hours.
func TestCheck_CostIsBounded(t *testing.T) {
	t.Parallel()
	doubling := func(leaf, step string) string {
		var b strings.Builder
		for i := range 25 {
			fmt.Fprintf(&b, `"d%d":`+step+`,`, i, i+1, i+1)
		}
		return `{"properties":{"A":{"$ref":"#/definitions/d0"}},"definitions":{` + b.String() + `"d25":` + leaf + `}}`
	}
	numbers := make([]string, 20_000)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i) + ".5"
	}
	nested := strings.Repeat(`{"A":`, 100) + `1` + strings.Repeat(`}`, 100)
	body := func(a string) string { return `{"Meta":{"DataModel":"Order","EventType":"New"},"A":` + a + `}` }
	for name, tc := range map[string]struct{ schema, body string }{
		"allOf doubles":       {doubling(`{}`, `{"allOf":[{"$ref":"#/definitions/d%d"},{"$ref":"#/definitions/d%d"}]}`), body(`"x"`)},
		"anyOf that fails":    {doubling(`{"type":"null"}`, `{"anyOf":[{"$ref":"#/definitions/d%d"},{"$ref":"#/definitions/d%d"}]}`), body(`"x"`)},
		"inside of not":       {`{"not":{"properties":{"A":{"$ref":"#/definitions/d0"}}},` + doubling(`{"type":"null"}`, `{"anyOf":[{"$ref":"#/definitions/d%d"},{"$ref":"#/definitions/d%d"}]}`)[1:], body(`"x"`)},
		"doubles with depth":  {`{"definitions":{"x":{"anyOf":[{"properties":{"A":{"$ref":"#/definitions/x"}},"required":["B"]},{"properties":{"A":{"$ref":"#/definitions/x"}},"required":["C"]}]}},"properties":{"A":{"$ref":"#/definitions/x"}}}`, body(nested)},
		"a pattern, a long A": {`{"properties":{"A":{"pattern":"(x{30}){30}y"}}}`, body(`"` + strings.Repeat("x", 5_000_000) + `"`)},
		"a list for each":     {`{"properties":{"A":{"items":{"enum":[` + strings.Join(numbers, ",") + `]}}}}`, body(`[7` + strings.Repeat(",7", 50_000) + `]`)},
	} {
		l := linter(t, map[string]string{"order/new.json": tc.schema, "order/query.json": `{"type":"object"}`})
		l.most = maxCost / 50 // it would not end for hours
		m := message("")
		m.Body = []byte(tc.body)
		if err := l.Check(t.Context(), m); !errors.Is(err, ErrUnchecked) || !strings.Contains(err.Error(), "makes too much") {
			t.Errorf("%s: %v", name, err)
		}
		// It is not its schema's fault: the next message is judged.
		m.Body = []byte(`{"Meta":{"DataModel":"Order","EventType":"New"}}`)
		if err := l.Check(t.Context(), m); err != nil && !errors.As(err, new(*Error)) {
			t.Errorf("%s: then %v", name, err)
		}
	}
}

// Types that are there twice, as in some files of Redox, say nothing.
func TestCheck_TypesThatAreThereTwice(t *testing.T) {
	t.Parallel()
	l := linter(t, map[string]string{"order/new.json": `{"properties":{"A":{"type":["null","null"]},"type":{"type":["string","null"]}}}`})
	m := message("")
	m.Body = []byte(orderNew)
	if err := l.Check(t.Context(), m); err != nil {
		t.Error(err)
	}
	m.Body = []byte(strings.Replace(orderNew, `"A"`, `"type":7,"A"`, 1))
	if err := l.Check(t.Context(), m); err == nil || !strings.HasSuffix(err.Error(), "type is number and should be null or string") {
		t.Error(err)
	}
}

// A check ends with its context, whatever the schema makes of the message, and says why it ended.
func TestCheck_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := linter(t, map[string]string{"order/new.json": `{"definitions":{"x":{"anyOf":[{"properties":{"A":{"$ref":"#/definitions/x"}},"required":["B"]},{"properties":{"A":{"$ref":"#/definitions/x"}},"required":["C"]}]}},"properties":{"A":{"$ref":"#/definitions/x"}}}`})
	l.most = 1 << 60 // years
	why := errors.New("the publisher has no time")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, why)
	defer cancel()
	m := message("")
	m.Body = []byte(`{"Meta":{"DataModel":"Order","EventType":"New"},"A":` + strings.Repeat(`{"A":`, 100) + `1` + strings.Repeat(`}`, 101))
	if err := l.Check(ctx, m); !errors.Is(err, why) || errors.Is(err, ErrUnchecked) {
		t.Error(err)
	}
	if s := l.schemas[event{"order", "new"}]; len(s.slots) != 0 || len(s.idle) != 1 {
		t.Errorf("%d checks under way, %d programs", len(s.slots), len(s.idle))
	}
}
