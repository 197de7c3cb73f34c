package redox

import (
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// A message that comes again under another limit, as in a rolling change of the
// configuration, gets each file's own URI.
func TestOffload_AnotherLimitIsNoOtherFile(t *testing.T) {
	t.Parallel()
	_, small := large(1500)
	_, larger := large(3000)
	m := message(contract.LaneSend, model("Results", `"Orders":[{"Results":[{"Value":"`+small+`","ValueType":"Encapsulated Data"},{"Value":"`+larger+`","ValueType":"Encapsulated Data"}]}]`))
	uploads, store := 0, &notes{}
	r := serve(t, blobs(&uploads, respond(500, "")))
	for _, over := range []int64{2000, 1000} { // the larger file alone, then both
		limit := func(c *Config, _ *Source) { c.Offload.Over = over }
		_, err := client(t, r.URL, &keyring{}, offloading(store), limit).Deliver(t.Context(), m)
		if e := failure(t, err); e.Status() != 500 {
			t.Fatalf("%+v", e)
		}
	}
	seen := r.seen()
	last := seen[len(seen)-1].body
	if first, second := strings.Index(last, "blob.example/2"), strings.Index(last, "blob.example/1"); uploads != 2 || first < 0 || second < first {
		t.Errorf("%d uploads; sent %.400s", uploads, last)
	}
}
