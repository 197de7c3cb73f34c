package redox

import (
	"errors"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

func keyType(t KeyType) setting { return func(_ *Config, s *Source) { s.KeyType = t } }

func withoutID(_ *Config, s *Source) { s.ID = "" }

// What Redox takes with which key: facts of its documents, written out once more.
func TestDeliver_KeyTypeDecidesTheKind(t *testing.T) {
	t.Parallel()
	takes := map[KeyType]string{
		"":        "data-model fhir file",
		KeyOAuth:  "data-model fhir file",
		KeyLegacy: "data-model file",
		KeyUser:   "platform",
	}
	for typ, kinds := range takes {
		r := serve(t, respond(200, accepted))
		keys := &keyring{}
		c := client(t, r.URL, keys, keyType(typ))
		for _, kind := range []outbox.Kind{"", outbox.KindDataModel, outbox.KindFHIR, outbox.KindFile, outbox.KindPlatform} {
			name := string(kind)
			if name == "" {
				name = string(outbox.KindDataModel)
			}
			m := message(contract.LaneSend, event)
			m.Kind = kind
			asked, sent := keys.asked, len(r.seen())
			_, err := c.Deliver(t.Context(), m)
			refused := errors.Is(err, ErrKeyType)
			if want := !strings.Contains(" "+kinds+" ", " "+name+" "); refused != want {
				t.Errorf("key type %q, kind %q: refused %v, want %v (%v)", typ, kind, refused, want, err)
			}
			if !refused {
				continue
			}
			if e := failure(t, err); !e.Permanent() || e.Poison() || e.Attempted() || e.Pauses() != "" {
				t.Errorf("key type %q, kind %q: %+v: a mismatch is the message's own and is rejected", typ, kind, e)
			}
			if keys.asked != asked || len(r.seen()) != sent {
				t.Errorf("key type %q, kind %q: a token or a request was spent on it", typ, kind)
			}
		}
	}
}

func TestDeliver_KeyTypeErrorNamesTheMend(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		typ  KeyType
		kind outbox.Kind
		want string
	}{
		{"", outbox.KindPlatform, "guard: kind platform does not go with the source's key of type oauth: send it from a source with a user-level key"},
		{KeyLegacy, outbox.KindPlatform, "guard: kind platform does not go with the source's key of type legacy: send it from a source with a user-level key"},
		{KeyLegacy, outbox.KindFHIR, "guard: kind fhir does not go with the source's key of type legacy: give the source an OAuth key"},
		{KeyUser, outbox.KindFHIR, "guard: kind fhir does not go with the source's key of type user: send it from a source with an OAuth key; a user-level key is for kind platform only"},
	} {
		m := message(contract.LaneSend, event)
		m.Kind = tc.kind
		_, err := client(t, "http://127.0.0.1:1", &keyring{}, keyType(tc.typ)).Deliver(t.Context(), m)
		if got := failure(t, err).SafeError(); got != tc.want {
			t.Errorf("%s\nwant %s", got, tc.want)
		}
	}
}

func TestDeliver_LegacySourceWithoutID(t *testing.T) {
	t.Parallel()
	own := strings.Replace(event, `{"Meta":{`, `{"Meta":{"Source":{"ID":"`+otherID+`","Name":"x"},`, 1)
	null := strings.Replace(event, `{"Meta":{`, `{"Meta":{"Source":null,`, 1)
	for name, body := range map[string]string{"no source": event, "a null source": null, "a source of its own": own} {
		r := serve(t, respond(200, accepted))
		c := client(t, r.URL, &keyring{}, keyType(KeyLegacy), withoutID)
		if _, err := c.Deliver(t.Context(), message(contract.LaneSend, body)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a := r.seen()[0]
		if a.body != body {
			t.Errorf("%s: the body was changed: %s", name, a.body)
		}
		if id, there := a.header["Redox-Source-Id"]; there {
			t.Errorf("%s: Redox-Source-Id %q was sent", name, id)
		}
	}
}

func TestDeliver_LegacySourceWithID(t *testing.T) {
	t.Parallel()
	r := serve(t, respond(200, accepted))
	c := client(t, r.URL, &keyring{}, keyType(KeyLegacy))
	if _, err := c.Deliver(t.Context(), message(contract.LaneSend, event)); err != nil {
		t.Fatal(err)
	}
	if a := r.seen()[0]; a.body != sent || a.header.Get("Redox-Source-Id") != sourceID {
		t.Errorf("%s\n%v", a.body, a.header)
	}
}

func TestNew_SourceIDAndKeyType(t *testing.T) {
	t.Parallel()
	for typ, want := range map[KeyType]string{
		"":        "redox: source clinic-a: ID is empty; set the Source ID that Redox shows for it",
		KeyOAuth:  "redox: source clinic-a: ID is empty; set the Source ID that Redox shows for it",
		KeyLegacy: "",
		KeyUser:   "",
		"jwt":     `redox: source clinic-a: KeyType: "jwt"; use oauth, legacy or user`,
	} {
		_, err := New(map[string]Source{"clinic-a": {Key: "main", KeyType: typ, Environment: envStaging}},
			map[string]Credentials{"main": &keyring{}}, Config{})
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s\nwant %s", typ, got, want)
		}
	}
}
