package redox

import (
	"context"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// An answer tells which hosts were asked, the last being the one that it is from.
func TestDeliver_NamesTheHostsThatWereAsked(t *testing.T) {
	t.Parallel()
	_, text := large(1500)
	media := message(contract.LaneSend, model("Media", `"Media":{"FileContents":"`+text+`"}`))
	file := outbox.Message{ID: "f", Source: "clinic-a", Kind: outbox.KindFile, Lane: contract.LaneSend, ContentType: "text/plain", Body: []byte("x")}
	const api, blob = "api", "blob"
	for name, tc := range map[string]struct {
		message          outbox.Message
		apiSays, blobSay int
		noted            bool
		want             []string
	}{
		"a small message":           {message: message(contract.LaneSend, event), apiSays: 200, want: []string{api}},
		"a large one, without file": {message: message(contract.LaneSend, sized(5000)), apiSays: 200, want: []string{api}},
		"a file in it":              {message: media, apiSays: 200, blobSay: 201, want: []string{blob, api}},
		"a file, uploaded before":   {message: media, apiSays: 200, noted: true, want: []string{api}},
		"a failed upload":           {message: media, blobSay: 503, want: []string{blob}},
		"a failed sending":          {message: media, apiSays: 503, blobSay: 201, want: []string{blob, api}},
		"a file":                    {message: file, blobSay: 201, want: []string{blob}},
		"a broken message":          {message: message(contract.LaneSend, "{"), want: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := serve(t, respond(tc.apiSays, accepted)), serve(t, respond(tc.blobSay, `{"URI":"https://blob.example/1"}`))
			c := client(t, a.URL, &keyring{}, offloading(&notes{}), func(cfg *Config, _ *Source) { cfg.BlobURL = b.URL })
			names := map[string]string{c.targets.apiScope: api, c.targets.blobScope: blob}
			if tc.noted {
				b.Config.Handler = http.NotFoundHandler()
				c.cfg.Offload.Uploads = known("https://blob.example/1")
			}
			answer, _ := c.Deliver(t.Context(), tc.message)
			got := []string{}
			for _, host := range answer.Hosts {
				got = append(got, names[host])
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || answer.Hosts == nil {
				t.Error(diff)
			}
		})
	}
	r := serve(t, respond(200, accepted))
	if a, err := client(t, r.URL, &keyring{}).Deliver(t.Context(), message(contract.LaneSend, event)); err != nil || a.Hosts != nil {
		t.Errorf("one host alone: %v, %v", a.Hosts, err)
	}
}

// known is a store that has every upload.
type known string

func (k known) Uploaded(context.Context, string, string) (string, error) { return string(k), nil }
func (k known) Keep(context.Context, string, string, string) error       { return nil }
