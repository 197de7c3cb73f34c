package redox

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

const documentCreate = "hospital/Development/DocumentReference/$documentreference-create"

// holds is an attachment around base64, with all that describes it.
func holds(content []byte, text string) string {
	sum := sha1.Sum(content)
	return fmt.Sprintf(`{"contentType":"application/pdf", "data" : "%s","title":"Timothy","size":%d,"hash":"%s"}`, text, len(content), base64.StdEncoding.EncodeToString(sum[:]))
}

// bundled is a message Bundle with a resource.
func bundled(resource string) string {
	return `{"resourceType":"Bundle","type":"message","entry":[{"resource":{"resourceType":"MessageHeader","eventUri":"e","source":{"endpoint":"urn:uuid:` + sourceID + `"}}},{"resource":` + resource + `}]}`
}

// TestOffload_FHIRPlaces has each element of R4 that is an Attachment, and its neighbours.
func TestOffload_FHIRPlaces(t *testing.T) {
	t.Parallel()
	content, base := large(1500)
	file := holds(content, base)
	other := `{"data":"` + base + `"}`
	for name, tc := range map[string]struct {
		body string
		want int
		left map[string]float64
	}{
		"DocumentReference":            {body: `{"resourceType":"DocumentReference","content":[{"attachment":` + file + `,"format":{"code":"x"}}]}`, want: 1},
		"its type behind":              {body: `{"content":[{"attachment":` + file + `}],"resourceType":"DocumentReference"}`, want: 1},
		"two of them, the same file":   {body: `{"resourceType":"DocumentReference","content":[{"attachment":` + file + `},{"attachment":` + file + `}]}`, want: 2},
		"DiagnosticReport":             {body: `{"resourceType":"DiagnosticReport","presentedForm":[` + file + `]}`, want: 1},
		"Media":                        {body: `{"resourceType":"Media","content":` + file + `}`, want: 1},
		"Communication":                {body: `{"resourceType":"Communication","payload":[{"contentAttachment":` + file + `},{"contentString":"x"}]}`, want: 1},
		"Consent":                      {body: `{"resourceType":"Consent","sourceAttachment":` + file + `}`, want: 1},
		"Contract":                     {body: `{"resourceType":"Contract","legallyBindingAttachment":` + file + `}`, want: 1},
		"Claim":                        {body: `{"resourceType":"Claim","supportingInfo":[{"valueAttachment":` + file + `}]}`, want: 1},
		"ClaimResponse":                {body: `{"resourceType":"ClaimResponse","form":` + file + `}`, want: 1},
		"ExplanationOfBenefit":         {body: `{"resourceType":"ExplanationOfBenefit","form":` + file + `}`, want: 1},
		"BodyStructure":                {body: `{"resourceType":"BodyStructure","image":[` + file + `]}`, want: 1},
		"Library":                      {body: `{"resourceType":"Library","content":[` + file + `]}`, want: 1},
		"Patient, Person and so on":    {body: `{"resourceType":"Patient","photo":[` + file + `],"contained":[{"resourceType":"Person","photo":` + file + `},{"resourceType":"HealthcareService","photo":` + file + `}]}`, want: 3},
		"QuestionnaireResponse":        {body: `{"resourceType":"QuestionnaireResponse","item":[{"item":[{"answer":[{"valueAttachment":` + file + `}]}]}]}`, want: 1},
		"SubstanceProtein":             {body: `{"resourceType":"SubstanceProtein","subunit":[{"sequenceAttachment":` + file + `}]}`, want: 1},
		"SubstancePolymer":             {body: `{"resourceType":"SubstancePolymer","repeat":[{"repeatUnit":[{"structuralRepresentation":[{"attachment":` + file + `}]}]}]}`, want: 1},
		"SubstanceSpecification":       {body: `{"resourceType":"SubstanceSpecification","structure":{"representation":[{"attachment":` + file + `}]}}`, want: 1},
		"DeviceDefinition":             {body: `{"resourceType":"DeviceDefinition","physicalCharacteristics":{"image":[` + file + `]}}`, want: 1},
		"RelatedArtifact":              {body: `{"resourceType":"PlanDefinition","relatedArtifact":[{"document":` + file + `}],"action":[{"action":[{"documentation":[{"document":` + file + `}]}]}]}`, want: 2},
		"extension of a primitive":     {body: `{"resourceType":"Patient","_birthDate":{"extension":[{"url":"u","valueAttachment":` + file + `}]}}`, want: 1},
		"Bundle":                       {body: bundled(`{"resourceType":"DocumentReference","content":[{"attachment":` + file + `}]}`), want: 1},
		"Bundle, contained":            {body: bundled(`{"resourceType":"Task","contained":[{"presentedForm":[` + file + `],"resourceType":"DiagnosticReport"}],"input":[{"valueAttachment":` + file + `}]}`), want: 2},
		"Parameters":                   {body: `{"resourceType":"Parameters","parameter":[{"resource":{"resourceType":"Media","content":` + file + `}},{"part":[{"valueAttachment":` + file + `}]}]}`, want: 2},
		"no contentType":               {body: `{"resourceType":"Media","content":` + other + `}`, want: 1},
		"escaped names":                {body: `{"resourceType":"Media","cont\u0065nt":{"d\u0061ta":"` + base + `"}}`, want: 1},
		"Binary in a Bundle":           {body: bundled(`{"resourceType":"Binary","contentType":"application/pdf","data":"` + base + `"}`), left: map[string]float64{"binary": 1}},
		"Binary alone":                 {body: `{"resourceType":"Binary","data":"` + base + `"}`},
		"a URL besides":                {body: `{"resourceType":"Media","content":{"data":"` + base + `","url":null}}`, left: map[string]float64{"ambiguous": 1}},
		"a data URI":                   {body: `{"resourceType":"Media","content":{"url":"data:application\/pdf;base64,` + base + `"}}`, left: map[string]float64{"unknown_place": 1}},
		"data twice":                   {body: `{"resourceType":"Media","content":{"data":"` + base + `","data":"` + base + `"}}`, left: map[string]float64{"ambiguous": 2}},
		"another resource's element":   {body: `{"resourceType":"Observation","content":` + file + `}`, left: map[string]float64{"unknown_place": 1}},
		"the right name elsewhere":     {body: `{"resourceType":"DocumentReference","content":[{"format":{"attachment":` + file + `}}]}`, left: map[string]float64{"unknown_place": 1}},
		"two types":                    {body: `{"resourceType":"Media","resourceType":"Observation","content":` + file + `}`, left: map[string]float64{"unknown_place": 1}},
		"no resource":                  {body: `{"content":` + file + `}`, left: map[string]float64{"unknown_place": 1}},
		"a patch":                      {body: `[{"op":"add","path":"/content","value":` + file + `}]`, left: map[string]float64{"unknown_place": 1}},
		"a signature":                  {body: `{"resourceType":"Provenance","signature":[` + other + `]}`, left: map[string]float64{"unknown_place": 1}},
		"what a profile fixes":         {body: `{"resourceType":"StructureDefinition","snapshot":{"element":[{"fixedAttachment":` + file + `}]}}`, left: map[string]float64{"unknown_place": 1}},
		"deep below nothing":           {body: strings.Repeat(`{"a":`, 200) + file + strings.Repeat("}", 200), left: map[string]float64{"unknown_place": 1}},
		"not base64":                   {body: `{"resourceType":"Media","content":{"data":"` + base + `!"}}`, left: map[string]float64{"not_base64": 1}},
		"a list of numbers":            {body: `{"resourceType":"Observation","valueSampledData":{"data":"` + strings.Repeat("12 -7 ", 400) + `"}}`},
		"a sequence":                   {body: `{"resourceType":"MolecularSequence","observedSeq":"` + strings.Repeat("ACGT", 500) + `"}`},
		"small":                        {body: `{"resourceType":"Media","content":{"data":"` + base[:1200] + `"},"note":[{"text":"` + strings.Repeat("Timothy. ", 200) + `"}]}`},
		"nothing in it":                {body: `{"resourceType":"Media","content":{"data":""},"note":[{"text":"` + strings.Repeat("Timothy. ", 200) + `"}]}`},
		"an array where a string goes": {body: `{"resourceType":"Media","content":{"data":["` + base + `"]}}`, left: map[string]float64{"unknown_place": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, lane := range []contract.Lane{contract.LaneSend, contract.LaneRequest} {
				uploads, registry := 0, prometheus.NewRegistry()
				r := serve(t, blobs(&uploads, respond(200, `{"resourceType":"Bundle"}`, "Content-Type", "application/fhir+json")))
				c := client(t, r.URL, &keyring{}, offloading(&notes{}), func(c *Config, _ *Source) { c.Registerer = registry })
				if _, err := c.Deliver(t.Context(), fhir(lane, http.MethodPost, documentCreate, tc.body)); err != nil {
					t.Fatal(err)
				}
				want := tc.body
				for n := range tc.want {
					uri := fmt.Sprintf(`"https://blob.example/%d"`, n+1)
					want = strings.Replace(want, `"`+base+`"`, uri, 1)
					before, after, _ := strings.Cut(want, uri)
					at := max(strings.LastIndex(before, `"data"`), strings.LastIndex(before, `"d\u0061ta"`))
					want = before[:at] + `"url"` + before[at+strings.IndexByte(before[at:], ':')-len(spaces(before[at:])):] + uri + after
				}
				seen := r.seen()
				if diff := cmp.Diff(want, seen[len(seen)-1].body); diff != "" || len(seen) != tc.want+1 {
					t.Fatalf("%d requests: %s", len(seen), diff)
				}
				for _, a := range seen[:tc.want] {
					header, fileName, got := form(t, a)
					if string(got) != string(content) || a.header.Get("Redox-Source-Id") != sourceID || strings.Contains(fileName, "Timothy") {
						t.Errorf("file %q of %d bytes, %v", fileName, len(got), a.header)
					}
					if media := header["Content-Type"][0]; media != "application/pdf" && strings.Contains(tc.body, "contentType") {
						t.Error(media)
					}
				}
				left := map[string]float64{}
				for name, n := range counted(t, registry) {
					if why, ok := strings.CutPrefix(name, "files_left_total "); ok {
						left[why] = n
					}
				}
				if !maps.Equal(left, tc.left) {
					t.Errorf("left %v", left)
				}
			}
		})
	}
}

// spaces are those between a name and its colon.
func spaces(member string) string {
	name, _, _ := strings.Cut(member, ":")
	return name[len(strings.TrimRight(name, " ")):]
}

// What changes is valid FHIR: an attachment without data and with a URL, of the same size and hash.
func TestOffload_FHIRAttachmentStaysOne(t *testing.T) {
	t.Parallel()
	content, base := large(1500)
	uploads := 0
	r := serve(t, blobs(&uploads, respond(200, `{}`)))
	m := fhir(contract.LaneSend, http.MethodPost, documentCreate, bundled(`{"resourceType":"DocumentReference","content":[{"attachment":`+holds(content, base)+`}]}`))
	if _, err := client(t, r.URL, &keyring{}, offloading(&notes{})).Deliver(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	var bundle struct {
		Entry []struct {
			Resource struct {
				Content []struct{ Attachment map[string]any }
			}
		}
	}
	if err := json.Unmarshal([]byte(r.seen()[1].body), &bundle); err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum(content)
	want := map[string]any{"contentType": "application/pdf", "url": "https://blob.example/1", "title": "Timothy", "size": 1500.0, "hash": base64.StdEncoding.EncodeToString(sum[:])}
	if diff := cmp.Diff(want, bundle.Entry[1].Resource.Content[0].Attachment); diff != "" {
		t.Error(diff)
	}
}

// A writeback without a sender gets the Source ID, wherever its files are.
func TestOffload_FHIRAndTheSourceID(t *testing.T) {
	t.Parallel()
	content, base := large(1500)
	const sender = `"source":{"endpoint":"urn:uuid:` + sourceID + `"},`
	document := `{"resource":{"resourceType":"DocumentReference","content":[{"attachment":` + holds(content, base) + `}]}}`
	lead := `{"resource":{"resourceType":"MessageHeader","eventUri":"e"}}`
	for _, entries := range []string{lead + "," + document, document + "," + lead, document + "," + lead + "," + document} {
		uploads := 0
		r := serve(t, blobs(&uploads, respond(200, `{}`)))
		body := `{"resourceType":"Bundle","type":"message","entry":[` + entries + `]}`
		if _, err := client(t, r.URL, &keyring{}, offloading(&notes{})).Deliver(t.Context(), fhir(contract.LaneSend, http.MethodPost, documentCreate, body)); err != nil {
			t.Fatal(err)
		}
		want := strings.Replace(body, `"resourceType":"MessageHeader"`, sender+`"resourceType":"MessageHeader"`, 1)
		for n := range strings.Count(body, base) {
			want = strings.Replace(want, `"data" : "`+base, fmt.Sprintf(`"url" : "https://blob.example/%d`, n+1), 1)
		}
		if diff := cmp.Diff(want, r.seen()[uploads].body); diff != "" || uploads == 0 {
			t.Error(diff)
		}
	}
}

// What is no JSON is not looked at, and goes as it is, whether it was in the object store or not.
func TestOffload_FHIRThatIsNoJSON(t *testing.T) {
	t.Parallel()
	_, base := large(1500)
	uploads := 0
	r := serve(t, blobs(&uploads, respond(200, `{}`)))
	for name, tc := range map[string]struct {
		path, contentType, body string
		xml                     float64 // left because of it
	}{
		"a file":                     {"Binary", "application/pdf", "%PDF-1.7 " + base, 0},
		"a file that looks like one": {"Binary", "application/octet-stream", base, 0},
		"a search":                   {"Patient/_search", "", "family=" + base, 0},
		"a search, it says":          {"Patient/_search", "application/x-www-form-urlencoded", "family=" + base, 0},
		"XML":                        {"Media", "application/FHIR+xml", `<Media><content><data value="` + base + `"/></content></Media>`, 1},
	} {
		for _, object := range []string{"", "clinic-a/x"} {
			registry := prometheus.NewRegistry()
			c := client(t, r.URL, &keyring{}, offloading(&notes{}), func(c *Config, _ *Source) { c.Registerer = registry })
			m := fhir(contract.LaneRequest, http.MethodPost, "hospital/Development/"+tc.path, tc.body)
			m.ContentType, m.BodyObject = tc.contentType, object
			before := len(r.seen())
			if _, err := c.Deliver(t.Context(), m); err != nil || r.seen()[before].body != tc.body || uploads != 0 {
				t.Errorf("%s, object %q: %d uploads, %v", name, object, uploads, err)
			}
			if n := counted(t, registry)["files_left_total xml"]; n != tc.xml {
				t.Errorf("%s, object %q: %v left as XML", name, object, n)
			}
		}
	}
}

// Nothing of a message to another FHIR server reaches Redox.
func TestOffload_FHIROfAnotherServer(t *testing.T) {
	t.Parallel()
	content, base := large(1500)
	blob := serve(t, respond(201, `{"URI":"https://blob.example/1"}`))
	r := serve(t, respond(201, `{}`))
	c := client(t, r.URL, &keyring{}, offloading(&notes{}), toBlob(blob.URL), func(_ *Config, s *Source) { s.NoSlugGuard = true })
	m := fhir(contract.LaneSend, http.MethodPost, "Media", `{"resourceType":"Media","content":`+holds(content, base)+`}`)
	if _, err := c.Deliver(t.Context(), m); err != nil || r.seen()[0].body != string(m.Body) || len(blob.seen()) != 0 {
		t.Error(err)
	}
	if got := c.HostScope(m); got != c.targets.apiScope {
		t.Error(got)
	}
}

// A message that comes again, to another worker, uploads nothing again; one that is replayed is
// another message.
func TestOffload_FHIRComesAgain(t *testing.T) {
	t.Parallel()
	content, base := large(1500)
	uploads, store := 0, &notes{}
	var down atomic.Bool
	down.Store(true)
	r := serve(t, blobs(&uploads, func(w http.ResponseWriter, a arrival) {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		respond(200, `{}`)(w, a)
	}))
	m := fhir(contract.LaneSend, http.MethodPost, documentCreate, bundled(`{"resourceType":"DocumentReference","content":[{"attachment":`+holds(content, base)+`},{"attachment":`+holds(content, base)+`}]}`))
	m.Sequence = 7
	_, err := client(t, r.URL, &keyring{}, offloading(store)).Deliver(t.Context(), m)
	if e := failure(t, err); !e.UnknownOutcome() || uploads != 2 {
		t.Fatalf("%+v, %d uploads", e, uploads)
	}
	down.Store(false)
	again := client(t, r.URL, &keyring{}, offloading(store))
	if _, err := again.Deliver(t.Context(), m); err != nil || uploads != 2 {
		t.Fatal(err, uploads)
	}
	seen := r.seen()
	if last := seen[len(seen)-1].body; !strings.Contains(last, `"https://blob.example/1"`) || !strings.Contains(last, `"https://blob.example/2"`) {
		t.Errorf("%.300s", last)
	}
	m.ID, m.ReplayOf, m.Sequence = "m-1:r1", "m-1", 9
	if _, err := again.Deliver(t.Context(), m); err != nil || uploads != 4 {
		t.Error(err, uploads)
	}
}

func TestOffload_FHIRUploadsThatFail(t *testing.T) {
	t.Parallel()
	content, base := large(1500)
	m := fhir(contract.LaneSend, http.MethodPost, documentCreate, `{"resourceType":"Media","content":`+holds(content, base)+`}`)
	for status, want := range map[int]map[string]float64{403: {"refused": 1}, 500: {}, 413: {"refused": 1}} {
		registry := prometheus.NewRegistry()
		r := serve(t, respond(status, "no"))
		_, err := client(t, r.URL, &keyring{}, offloading(&notes{}), func(c *Config, _ *Source) { c.Registerer = registry }).Deliver(t.Context(), m)
		e := failure(t, err)
		if n := counted(t, registry)["files_left_total refused"]; n != want["refused"] || e.UnknownOutcome() || e.Status() != status || len(r.seen()) != 1 {
			t.Errorf("%d: %+v, counted %v", status, e, n)
		}
	}
	registry := prometheus.NewRegistry()
	small := func(c *Config, _ *Source) { c.MaxFile, c.Registerer = 1_400, registry }
	_, err := client(t, "http://127.0.0.1:1", &keyring{}, offloading(nil), small).Deliver(t.Context(), m)
	if e := failure(t, err); !e.Poison() || counted(t, registry)["files_left_total too_large"] != 1 {
		t.Errorf("%+v", e)
	}
}

func TestOffload_FHIRLimits(t *testing.T) {
	t.Parallel()
	small := func(c *Config, _ *Source) { c.MaxBody, c.MaxFile = 2_000, 9_000 }
	for name, tc := range map[string]struct {
		file, pad int
		want      string
	}{
		"a file over max body": {file: 8_000},
		"far too large":        {file: 20_000, want: "bytes; the limit is 14000"},
		"too large without it": {file: 3_000, pad: 2_000, want: "bytes; the limit is 2000"},
	} {
		_, base := large(tc.file)
		uploads := 0
		r := serve(t, blobs(&uploads, respond(200, `{}`)))
		body := `{"resourceType":"Media","content":{"data":"` + base + `"},"note":"` + strings.Repeat(" ", tc.pad) + `"}`
		_, err := client(t, r.URL, &keyring{}, offloading(&notes{}), small).Deliver(t.Context(), fhir(contract.LaneSend, http.MethodPost, documentCreate, body))
		if tc.want == "" {
			if err != nil || uploads != 1 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if e := failure(t, err); !e.Poison() || !strings.Contains(e.SafeError(), tc.want) {
			t.Errorf("%s: %v", name, e)
		}
	}
}

// A large file is decoded on its way: neither it nor its base64 is copied.
func TestOffload_LargeFilesAreNotCopied(t *testing.T) { // not parallel: it counts bytes
	content := make([]byte, 8_000_000)
	for i := range content {
		content[i] = byte(i * 31)
	}
	lines := base64.StdEncoding.EncodeToString(content)
	body := strings.Builder{}
	body.WriteString(`{"resourceType":"Media","content":{"contentType":"image/png","data":"`)
	for line := range len(lines) / 76 {
		body.WriteString(lines[line*76:line*76+76] + `\r\n`)
	}
	body.WriteString(lines[len(lines)/76*76:] + `"}}`)
	var got int64
	r := serve(t, nil)
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		n, err := io.Copy(io.Discard, q.Body)
		if err != nil && !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if q.URL.Path == "/upload" {
			got = n
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"URI":"https://blob.example/1"}`)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	})
	c := client(t, r.URL, &keyring{}, offloading(&notes{}))
	m := fhir(contract.LaneSend, http.MethodPost, documentCreate, body.String())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := c.Deliver(t.Context(), m)
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; err != nil || taken > 2<<20 || got < int64(len(content)) {
		t.Errorf("%v: %d bytes taken, %d received", err, taken, got)
	}
}
