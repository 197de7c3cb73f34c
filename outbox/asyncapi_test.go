package outbox_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/asyncapi"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/topology"
	"github.com/redoxworker/redoxworker/worker/audit"
	"github.com/redoxworker/redoxworker/worker/overview"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/redox/reconcile"
)

// The AsyncAPI document says what the code does: as much, and nothing else. That it is one is checked
// by package conformance, with the schema of AsyncAPI.

// object is a part of the document.
type object map[string]any

func (o object) at(path ...string) object {
	for _, name := range path {
		next, _ := o[name].(map[string]any)
		o = next
	}
	return o
}

func (o object) text(name string) string { s, _ := o[name].(string); return s }

// texts are the items of a list.
func texts(list any) (all []string) {
	items, _ := list.([]any)
	for _, item := range items {
		all = append(all, fmt.Sprint(item))
	}
	return all
}

func keys(o object) []string { return slices.Sorted(maps.Keys(o)) }

func document(t *testing.T, p contract.Prefix) object {
	t.Helper()
	var parsed map[string]any
	if err := yaml.Unmarshal(asyncapi.Document(p), &parsed); err != nil {
		t.Fatal(err)
	}
	return parsed
}

// resolve follows references, which must lead somewhere.
func (o object) resolve(t *testing.T, part any) object {
	t.Helper()
	found, _ := part.(map[string]any)
	for {
		ref, ok := found["$ref"].(string)
		if !ok {
			return found
		}
		path, ok := strings.CutPrefix(ref, "#/")
		if found = o.at(strings.Split(path, "/")...); !ok || found == nil {
			t.Fatalf("%s leads nowhere", ref)
		}
	}
}

// A word without a value is the rest of a text whose comma ended it.
func TestAsyncAPI_HasNoWordWithoutAValue(t *testing.T) {
	t.Parallel()
	var look func(path string, part any)
	look = func(path string, part any) {
		switch part := part.(type) {
		case map[string]any:
			for name, value := range part {
				if value == nil && name != "address" {
					t.Errorf("%s: %q has no value", path, name)
				}
				look(path+"/"+name, value)
			}
		case []any:
			for _, item := range part {
				look(path, item)
			}
		}
	}
	look("", map[string]any(document(t, "")))
}

// Every subject of the contract is the address of a channel, and no other; the summaries are alike.
func TestAsyncAPI_HasEverySubject(t *testing.T) {
	t.Parallel()
	doc := document(t, "")
	var have []string
	for name, c := range doc.at("channels") {
		channel := object(c.(map[string]any))
		if subject := channel.text("x-subject"); subject != "" {
			have = append(have, subject+" | "+channel.text("x-publisher"))
			asSubject := strings.NewReplacer("{deadToken}", "<token>", "{rest}", ">", "{stored}", ">").Replace(channel.text("address"))
			if asSubject = regexp.MustCompile(`\{(\w+)\}`).ReplaceAllString(asSubject, "<$1>"); asSubject != subject {
				t.Errorf("channel %s: address %s, subject %s", name, channel.text("address"), subject)
			}
		} else if channel["address"] != nil {
			t.Errorf("channel %s has no subject", name)
		}
	}
	var want []string
	for _, row := range rows(section(t, "Subjects")) {
		want = append(want, strings.Trim(row[0], "`")+" | "+row[1])
	}
	slices.Sort(want)
	if slices.Sort(have); !slices.Equal(have, want) {
		t.Errorf("subjects %s\nwant %s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// The headers of each side are those that the code takes and writes.
func TestAsyncAPI_HasEveryHeader(t *testing.T) {
	t.Parallel()
	schemas, text, known := document(t, "").at("components", "schemas"), string(asyncapi.Document("")), headers(t)
	for schema, heading := range map[string]string{"messageHeaders": "Headers of a message", "replyHeaders": "Replies", "deadLetterHeaders": "Dead letters"} {
		var want []string // as CONTRACT.md has them, which is compared with the code
		for _, name := range named(t, heading) {
			switch {
			case name == "Redox-Answer-<Name>":
				for _, answer := range contract.AnswerHeaders() {
					want = append(want, contract.AnswerHeaderPrefix+answer)
				}
			case (strings.HasPrefix(name, "Redox-") || known[name] != "") && !strings.HasSuffix(name, "<Name>") && name != contract.HeaderOrderKey:
				want = append(want, name)
			}
		}
		slices.Sort(want)
		if have, want := keys(schemas.at(schema, "properties")), slices.Compact(want); !slices.Equal(have, want) {
			t.Errorf("%s: %q\nwant %q", schema, have, want)
		}
	}
	var gateway []string
	for name := range known {
		_, err := outbox.DecodeRequest("", "clinic-a", contract.LaneSend, &nats.Msg{Subject: "redox.gateway.clinic-a.send", Header: nats.Header{name: {"1"}}})
		listed := slices.Contains(keys(schemas.at("messageHeaders", "properties")), name) || name == contract.HeaderOrderKey
		if refused := err != nil && (strings.Contains(err.Error(), "is not a header of the contract") || strings.Contains(err.Error(), "is not for callers of the gateway")); listed && !refused {
			gateway = append(gateway, name)
		}
	}
	slices.Sort(gateway)
	if have := keys(schemas.at("gatewayHeaders", "properties")); !slices.Equal(have, gateway) {
		t.Errorf("gatewayHeaders: %q\nthe gateway takes %q", have, gateway)
	}
	for name := range known {
		if !strings.Contains(text, strings.TrimSuffix(name, "<Name>")) {
			t.Errorf("%s is nowhere in the document", name)
		}
	}
	for _, m := range regexp.MustCompile(`\bRedox-[A-Z][A-Za-z-]*[a-z]\b`).FindAllString(text, -1) {
		if known[m] == "" && !strings.HasPrefix(m, contract.AnswerHeaderPrefix) && !strings.HasPrefix(m, strings.TrimSuffix(contract.RequestHeaderPrefix, "-")) {
			t.Errorf("the document names %s, which is no header", m)
		}
	}
}

// Lists of values have all that the code has, and nothing else.
func TestAsyncAPI_HasEveryValue(t *testing.T) {
	t.Parallel()
	doc := document(t, "")
	schemas := doc.at("components", "schemas")
	settlements := constants(t, "Settlement")
	dead := slices.DeleteFunc(slices.Clone(settlements), func(s string) bool { return s == string(outbox.Delivered) })
	var unfollowed []string
	for _, kind := range constants(t, "Kind") {
		unfollowed = append(unfollowed, "unfollowed-"+kind)
	}
	methods := slices.DeleteFunc(strings.Fields("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE CONNECT QUERY"), func(method string) bool {
		_, err := outbox.Decode("", outbox.Stored{Subject: "redox.out.clinic-a.send", Sequence: 1, Header: nats.Header{contract.HeaderMethod: {method}, contract.HeaderKind: {"fhir"}, contract.HeaderPath: {"a/b"}}})
		return err != nil
	})
	for name, list := range map[string]struct{ have, want []string }{
		"meanings":           {keys(schemas.at("settlement", "x-meanings")), settlements},
		"kinds":              {texts(schemas.at("kind")["enum"]), constants(t, "Kind")},
		"lanes":              {texts(schemas.at("lane")["enum"]), constants(t, "Lane")},
		"settlements":        {texts(schemas.at("settlement")["enum"]), settlements},
		"of a dead letter":   {texts(schemas.at("deadLetterHeaders", "properties", "Redox-Dead-Settlement")["enum"]), dead},
		"of its subject":     {texts(doc.at("channels", "deadLetter", "parameters", "settlement")["enum"]), dead},
		"methods":            {texts(schemas.at("Redox-Method")["enum"]), methods},
		"codes":              {texts(doc.at("components", "messages", "refusal", "headers", "properties", "Nats-Service-Error-Code")["enum"]), codes(t)},
		"events of subjects": {texts(doc.at("channels", "event", "parameters", "what")["enum"]), append([]string{"failed", "unconfirmed"}, unfollowed...)},
	} {
		slices.Sort(list.have)
		if slices.Sort(list.want); !slices.Equal(list.have, list.want) || len(list.want) < 3 {
			t.Errorf("%s: %q, want %q", name, list.have, list.want)
		}
	}
	messages := doc.at("components", "messages")
	for what, fields := range map[string]struct {
		have object
		of   reflect.Type
	}{
		"receipt": {messages.at("receipt", "payload"), reflect.TypeFor[outbox.Receipt]()},
		"audit":   {messages.at("auditEntry", "payload"), reflect.TypeFor[audit.Entry]()},
		"deed":    {messages.at("deed", "payload"), reflect.TypeFor[audit.Deed]()},
		"event":   {messages.at("event", "payload"), reflect.TypeFor[reconcile.Event]()},
		"worker":  {messages.at("worker", "payload"), reflect.TypeFor[overview.Worker]()},
		"log":     {messages.at("event", "payload", "properties", "log"), reflect.TypeFor[platform.Log]()},
	} {
		var want []string
		for i := range fields.of.NumField() {
			if name, _, _ := strings.Cut(fields.of.Field(i).Tag.Get("json"), ","); name != "-" {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		if have := keys(fields.have.at("properties")); !slices.Equal(have, want) {
			t.Errorf("%s: %q, want %q", what, have, want)
		}
	}
}

// constants are the values of the constants of a type of kinds.go.
func constants(t *testing.T, name string) (values []string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(?m)^\t\w+ +`+name+` = "([^"]+)"`).FindAllStringSubmatch(read(t, "kinds.go")+read(t, "contract/lane.go"), -1) {
		values = append(values, m[1])
	}
	return values
}

// codes are those with which the gateway refuses.
func codes(t *testing.T) (values []string) {
	t.Helper()
	for _, row := range rows(section(t, "Confirmation")) {
		values = append(values, strings.Trim(row[0], "`"))
	}
	return values
}

// What is said to be a message is one: a worker, the gateway or an application takes it.
func TestAsyncAPI_ExamplesAreMessages(t *testing.T) {
	t.Parallel()
	doc := document(t, "")
	found := 0
	for name, c := range doc.at("channels") {
		channel := object(c.(map[string]any))
		address := strings.NewReplacer("{source}", "clinic-a", "{token}", "f06bd9781327758fb4a0ed6b28bcc382").Replace(channel.text("address"))
		for key, m := range channel.at("messages") {
			examples, _ := doc.resolve(t, m)["examples"].([]any)
			for _, e := range examples {
				found++
				if err := taken(name, address, e.(map[string]any)); err != nil {
					t.Errorf("an example of %s on %s: %v", key, name, err)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("%d examples", found)
	}
}

// taken gives an example to whoever reads the channel.
func taken(channel, address string, example object) (err error) {
	msg := &nats.Msg{Subject: address, Header: nats.Header{}}
	for header, value := range example.at("headers") {
		msg.Header[header] = []string{value.(string)}
	}
	if payload, there := example["payload"]; there {
		if msg.Data, err = json.Marshal(payload); err != nil {
			return err
		}
	}
	switch channel {
	case "send", "sendOrdered", "request":
		_, err = outbox.Decode("", outbox.Stored{Subject: address, Sequence: 1, Header: msg.Header, Body: msg.Data})
	case "gatewaySend":
		_, err = outbox.DecodeRequest("", "clinic-a", contract.LaneSend, msg)
	case "reply":
		_, err = outbox.DecodeReply(msg)
	}
	return err
}

// Examples fit the schemas of their headers and bodies.
func TestAsyncAPI_ExamplesFitTheirSchemas(t *testing.T) {
	t.Parallel()
	doc := document(t, "")
	asJSON := func(value any) any {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	compiler.AssertFormat()
	if err := compiler.AddResource("wire.json", asJSON(doc)); err != nil {
		t.Fatal(err)
	}
	for name, m := range doc.at("components", "messages") {
		examples, _ := m.(map[string]any)["examples"].([]any)
		for _, e := range examples {
			for part, value := range e.(map[string]any) {
				if part == "name" {
					continue
				}
				schema, err := compiler.Compile("wire.json#/components/messages/" + name + "/" + part)
				if err != nil {
					t.Fatal(err)
				}
				if err := schema.Validate(asJSON(value)); err != nil {
					t.Errorf("%s: %s: %v", name, part, err)
				}
			}
		}
	}
}

// With a prefix, subjects and streams are those of the prefix.
func TestAsyncAPI_Prefix(t *testing.T) {
	t.Parallel()
	text := string(asyncapi.Document("my-app"))
	for _, want := range []string{"address: my-app.out.{source}.send.{token}", "const: MY_APP_OUT", "stream MY_APP_REPLIES", "redox.headers allows", "store MY_APP_BODIES"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	for _, s := range (topology.Topology{}).Streams() {
		if strings.Contains(text, strings.TrimPrefix(strings.TrimPrefix(s.Name, "KV_"), "OBJ_")) {
			t.Errorf("%s is there, whatever the prefix", s.Name)
		}
	}
	if string(asyncapi.Document("redox")) != string(asyncapi.Document("")) {
		t.Error("the default prefix, written out, is another")
	}
}
