package redox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadMeta(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		body string
		want Meta
	}{
		"whole": {
			`{"Meta":{"DataModel":"Clinical Summary","EventType":"PatientQuery","Test":true,"Source":{"ID":"s"},"Destinations":[{"ID":"a"},{"Name":"b"}]}}`,
			Meta{"Clinical Summary", "PatientQuery", "s", true, 2},
		},
		"nothing in it":   {`{"Meta":{}}`, Meta{}},
		"all null":        {`{"Meta":{"DataModel":null,"EventType":null,"Test":null,"Source":null,"Destinations":null}}`, Meta{}},
		"all empty":       {`{"Meta":{"DataModel":"","EventType":"","Source":{},"Destinations":[]}}`, Meta{}},
		"source ID null":  {`{"Meta":{"Source":{"ID":null}}}`, Meta{}},
		"source ID empty": {`{"Meta":{"Source":{"ID":""}}}`, Meta{}},
		"escapes":         {`{"\u004deta":{"Data\u004dodel":"\u0041B\n","Source":{"\u0049D":"\u0078"}}}`, Meta{DataModel: "AB\n", SourceID: "x"}},
		"Meta last":       {`{"Patient":{"Meta":{"DataModel":"no"}},"Meta":{"DataModel":"yes"}}`, Meta{DataModel: "yes"}},
		"white space":     {"\r\n\t {\n\"Meta\" : { \"DataModel\" :\t\"A\" } } \n", Meta{DataModel: "A"}},
		"other case":      {`{"meta":{"DataModel":"no"},"Meta":{"datamodel":"no","EventType":"E"}}`, Meta{EventType: "E"}},
		"destinations without a name": {
			`{"Meta":{"Destinations":[{},{"ID":""},{"ID":null},{"Id":"x"},null,"x",7,["x"],{"ID":"d"}]}}`, Meta{Destinations: 1},
		},
		"duplicates elsewhere": {`{"a":1,"a":2,"Meta":{"Logs":1,"Logs":2,"DataModel":"A"}}`, Meta{DataModel: "A"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := ReadMeta([]byte(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadMeta_BrokenContractIsPoison(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ body, want string }{
		"nothing":              {"", "the body is empty"},
		"white space":          {" \r\n\t", "the body is empty"},
		"array":                {`[{"Meta":{}}]`, "not a JSON object"},
		"string":               {`"Timothy"`, "not a JSON object"},
		"null":                 {`null`, "not a JSON object"},
		"text":                 {`MSH|^~\&|EPIC`, "not valid JSON in UTF-8, at byte 1"},
		"truncated":            {event[:len(event)-1], "not valid JSON"},
		"truncated in Meta":    {event[:40], "not valid JSON"},
		"trailing":             {event + "x", "not valid JSON"},
		"two values":           {event + event, "not valid JSON"},
		"two marks":            {"\ufeff\ufeff" + event, "not valid JSON in UTF-8, at byte 1"},
		"Latin-1":              {"{\"Meta\":{\"DataModel\":\"M\xfcller\"}}", "not valid JSON in UTF-8"},
		"comment":              {`{/*x*/"Meta":{}}`, "not valid JSON"},
		"trailing comma":       {`{"Meta":{"Test":true,}}`, "not valid JSON"},
		"single quotes":        {`{'Meta':{}}`, "not valid JSON"},
		"bad value":            {`{"Meta":{"DataModel":nul}}`, "not valid JSON"},
		"bad Meta":             {`{"Meta":x}`, "not valid JSON"},
		"bad Source":           {`{"Meta":{"Source":x}}`, "not valid JSON"},
		"bad Source member":    {`{"Meta":{"Source":{"Name":x}}}`, "not valid JSON"},
		"bad Source end":       {`{"Meta":{"Source":{"Name":1]}}`, "not valid JSON"},
		"bad Test":             {`{"Meta":{"Test":tru}}`, "not valid JSON"},
		"bad destination":      {`{"Meta":{"Destinations":[{"ID":x}]}}`, "not valid JSON"},
		"bad destinations":     {`{"Meta":{"Destinations":[x]}}`, "not valid JSON"},
		"bad destinations end": {`{"Meta":{"Destinations":[{}}`, "not valid JSON"},
		"no Meta":              {`{"Patient":{}}`, "there is no Meta"},
		"Meta in lower case":   {`{"meta":{}}`, "there is no Meta"},
		"Meta null":            {`{"Meta":null}`, "Meta is not an object"},
		"Meta array":           {`{"Meta":[]}`, "Meta is not an object"},
		"DataModel number":     {`{"Meta":{"DataModel":7}}`, "Meta.DataModel is not a string"},
		"EventType object":     {`{"Meta":{"EventType":{}}}`, "Meta.EventType is not a string"},
		"Test string":          {`{"Meta":{"Test":"true"}}`, "Meta.Test is not true, false or null"},
		"Test number":          {`{"Meta":{"Test":1}}`, "Meta.Test is not true, false or null"},
		"Source string":        {`{"Meta":{"Source":"x"}}`, "Meta.Source is not an object or null"},
		"Source.ID number":     {`{"Meta":{"Source":{"ID":7}}}`, "Meta.Source.ID is not a string or null"},
		"Destinations object":  {`{"Meta":{"Destinations":{"ID":"x"}}}`, "Meta.Destinations is not an array"},
		"Meta twice":           {`{"Meta":{},"Meta":{}}`, "Meta is there twice"},
		"Meta twice, escaped":  {`{"Meta":{},"\u004deta":{}}`, "Meta is there twice"},
		"Source twice":         {`{"Meta":{"Source":{"ID":"a"},"Source":{"ID":"b"}}}`, "Meta.Source is there twice"},
		"Source.ID twice":      {`{"Meta":{"Source":{"ID":"a","ID":"b"}}}`, "Meta.Source.ID is there twice"},
		"Test twice":           {`{"Meta":{"Test":false,"Test":true}}`, "Meta.Test is there twice"},
		"DataModel twice":      {`{"Meta":{"DataModel":"a","DataModel":"b"}}`, "Meta.DataModel is there twice"},
		"EventType twice":      {`{"Meta":{"EventType":"a","EventType":"b"}}`, "Meta.EventType is there twice"},
		"Destinations twice":   {`{"Meta":{"Destinations":[],"Destinations":[{"ID":"x"}]}}`, "Meta.Destinations is there twice"},
		"too deep":             {`{"a":` + strings.Repeat("[", 20_000), "nested deeper than 10000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadMeta([]byte(tc.body))
			e := failure(t, err)
			if !e.Poison() || e.Permanent() || e.Attempted() {
				t.Errorf("poison %v, permanent %v, attempted %v", e.Poison(), e.Permanent(), e.Attempted())
			}
			if !strings.Contains(e.SafeError(), tc.want) {
				t.Errorf("%q does not say %q", e.SafeError(), tc.want)
			}
			if strings.Contains(e.Error(), "Timothy") || strings.Contains(e.Error(), "EPIC") {
				t.Errorf("the error quotes the body: %v", e)
			}
		})
	}
}

func TestReadEvent(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":[`, 20000)
	for body, want := range map[string]string{
		`{"Meta":{"DataModel":"Order","EventType":"New"}}`:                                                         "Order.New",
		`{"a":{"Meta":{"DataModel":"X"}},"b":[1,{"c":2}],"Meta":{"x":[{}],"EventType":"New","DataModel":"Order"}}`: "Order.New",
		`{"Meta":{"DataModel":"Clinical Summary","EventType":"PatientQuery"},broken`:                               "Clinical Summary.PatientQuery",
		`{"Meta":{"DataModel":"Order"`:                                                                             "Order.",
		`{"Meta":{"DataModel":"Order","DataModel":"Other","EventType":"New"}}`:                                     "Order.New",
		`{"Meta":{"DataModel":7,"EventType":null}}`:                                                                ".",
		`{"Meta":{"Source":7,"DataModel":"Order","Test":"x","EventType":"New"}}`:                                   "Order.New",
		`{"Meta":{"DataModel":"Order","EventType":"New"},"Patient":"` + "M\xfcller":                                "Order.New",
		`{"Meta":[],"DataModel":"Order"}`:                                                                          ".",
		``:                                                                                                         ".",
		"\ufeff" + `{"Meta":{"DataModel":"Order","EventType":"New"}}`:                                              "Order.New",
		`[]`:       ".",
		`"Meta"`:   ".",
		"\xff\xfe": ".",
		deep:       ".",
		`{"x":` + deep + `,"Meta":{"DataModel":"Order"}}`: ".",
	} {
		model, event := ReadEvent([]byte(body))
		if got := model + "." + event; got != want {
			t.Errorf("%.60s: %q, want %q", body, got, want)
		}
	}
}

// FuzzReadEvent holds it to ReadMeta, for messages that keep the contract.
func FuzzReadEvent(f *testing.F) {
	for _, seed := range []string{event, metas, `{"a":[{}],"Meta":{"DataModel":7`, `{"\u004deta":{"Data\u004dodel":"A"},"x":1}`, `{"Meta":{"DataModel":"\ud800","EventType":""}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		model, event := ReadEvent(body)
		if meta, err := ReadMeta(body); err == nil && (meta.DataModel != model || meta.EventType != event) {
			t.Fatalf("%q: %q.%q, ReadMeta %+v", body, model, event, meta)
		}
	})
}

// samples are real Redox messages; they live beside the repository.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../../shared/samples/*.json")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte, len(files))
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = body
	}
	return all
}

func TestReadMeta_Samples(t *testing.T) {
	t.Parallel()
	for name, body := range samples(t) {
		m, err := ReadMeta(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.DataModel == "" || m.EventType == "" || m.Destinations == 0 || m.SourceID != sourceID || !m.Test {
			t.Errorf("%s: %+v", name, m)
		}
	}
}
