package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"log/slog"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lmittmann/tint"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/bulkexport"
	"github.com/redoxworker/redoxworker/outbox/dlq"
	"github.com/redoxworker/redoxworker/outbox/fhirpages"
	"github.com/redoxworker/redoxworker/outbox/gateway"
	"github.com/redoxworker/redoxworker/outbox/seal"
	"github.com/redoxworker/redoxworker/outbox/sqloutbox"
	"github.com/redoxworker/redoxworker/worker/operate"
	"github.com/redoxworker/redoxworker/worker/redox"
)

// guarded are the types that hold a secret or patient data, each with the fields that may be
// shown all the same.
var guarded = map[string]struct {
	of    any // a pointer to a zero value
	shows string
}{
	"outbox.Message":         {new(outbox.Message), "ID Source Lane ReplayOf BodyObject"},
	"outbox.Reply":           {new(outbox.Reply), "MessageID ReplayOf Settlement LogIDs Error BodyObject"},
	"outbox.Received":        {new(outbox.Received), "MessageID ReplayOf Settlement LogIDs Error BodyObject"},
	"dlq.Letter":             {new(dlq.Letter), "MessageID Source Settlement Error Subject Worker"},
	"dlq.Stored":             {new(dlq.Stored), "MessageID Source Settlement Error Subject Worker"},
	"operate.Exported":       {new(operate.Exported), "MessageID Source Settlement Error Subject Worker"},
	"outbox.Stored":          {new(outbox.Stored), "Subject"},
	"seal.Headers":           {new(seal.Headers), ""},
	"fhirpages.Page":         {new(fhirpages.Page), "Settlement"},
	"outbox.Answer":          {new(outbox.Answer), "LogIDs Flag Hosts"},
	"outbox.PublisherConfig": {new(outbox.PublisherConfig), "Prefix"},
	"sqloutbox.Config":       {new(sqloutbox.Config), "Prefix Table"},
	"gateway.Config":         {new(gateway.Config), "Prefix Sources ReplyAllow"},
	"redox.TransportConfig":  {new(redox.TransportConfig), "CAFile"},
	"redox.Meta":             {new(redox.Meta), ""},
	"bulkexport.Config":      {new(bulkexport.Config), "Source Prefix"},
	"bulkexport.Request":     {new(bulkexport.Request), ""},
}

// opaque are types that hold such things where no caller can put them without their
// constructors; they are made by the tests below, or printed by tests of their package.
var opaque = []string{"outbox.Publisher", "sqloutbox.Outbox", "gateway.Gateway", "outbox.BodyReader", "seal.Keys", "seal.Ring", "seal.DataKey", "outbox.Opening", "bulkexport.Export", "redox.Error",
	"auth.Token", "auth.Key", "secret.Text", "config.URL"}

// harmless are types of which every text may be shown: ids, names, settings, safe texts, or
// nothing but pointers to what is guarded itself.
var harmless = strings.Fields(`
auth.Cache auth.CacheConfig auth.KeyCheck auth.Legacy auth.LegacyConfig auth.NoTokenError auth.OAuth auth.OAuthConfig auth.SignError auth.Status
auth.Scopes auth.ScopesConfig auth.TokenError auth.Transport auth.TransportConfig filewatch.Config filewatch.Watcher prom.Metrics smart.Client smart.Config smart.Document smart.Error
config.Admin config.Audit config.Bodies config.Config config.Console config.ConsoleNATS config.ConsoleOIDC config.ConsoleProxy config.DLQ config.Field config.Gateway config.Key config.Log config.NATS config.NextKey config.Queue
config.Outbox config.Offload config.Options config.Order config.Problem config.Quota config.Reconcile config.Redox config.Reply config.Retry config.Source
config.Seal config.Dir config.MaxAnswer config.Mistake config.Part config.Refusal config.Set config.TLS config.Worker
bulkexport.Bucket bulkexport.Dir bulkexport.Figures bulkexport.File bulkexport.Progress bulkexport.Result
logsample.Handler logsample.Trouble servertime.Clock
contract.Error gateway.Stats outbox.Bodies outbox.Collected outbox.GatewayError outbox.HeaderPolicy outbox.Published outbox.Receipt outbox.Replies outbox.RepliesConfig outbox.ReplyPolicy outbox.SizeError
dlq.Config dlq.Count dlq.DiscardOptions dlq.Handled dlq.HeldToken dlq.HeldTokens dlq.OrderPlace dlq.Query dlq.ReplayOptions dlq.Selection
dlq.Grouping dlq.Page dlq.PageOptions dlq.ReplayNote dlq.SharedIDError dlq.Store dlq.UnreadableError topology.Change topology.Fault topology.Topology uploads.Store
lint.Error lint.Linter lint.Problem
seal.Key seal.Options
sqloutbox.FailedQuery sqloutbox.FailedRow sqloutbox.Horizon sqloutbox.LaneStatus sqloutbox.Migration sqloutbox.Relay sqloutbox.RelayConfig sqloutbox.Stats sqloutbox.Status
platform.Log platform.Logs
quota.Config quota.Governor quota.Status quota.Usage
reconcile.Config reconcile.Delivered reconcile.Event reconcile.Reconciler
feed.Feed feed.Options feed.Status registry.Entry registry.Options registry.Registry registry.Row registry.Snapshot console.Config console.Console
redox.Client redox.Config redox.Offload redox.Source redox.Transport
access.Grant access.User access.Config access.Guard access.Identity access.Local access.Passwords access.Problem access.Proxy access.Refusal access.Rule access.Tokens access.Change access.Key access.Keys access.KeysOptions access.Transport buildinfo.Info natslink.Link oidc.Config oidc.Provider service.KeyStatus service.Options service.Service service.Status signin.Gate
audit.Begun audit.Deed audit.Entry audit.File audit.Line audit.Tail audit.Query audit.Reader audit.Record audit.Recorder audit.Result audit.Stream operate.CanaryError operate.Desk operate.FindOptions operate.Finding operate.Moment operate.Place operate.ReplayOptions operate.Row operate.Stray operate.StrayOptions operate.StrayQuery operate.Strayed operate.Strays operate.Target order.Head order.State order.Tokens
overview.Announcement overview.Backlog overview.Config overview.Dead overview.DeadReason overview.Drain overview.Gatherer overview.Head overview.Key overview.Need
overview.Outbox overview.Overview overview.Pause overview.Queue overview.Quota overview.Reconcile overview.Why overview.Worker worker.Config worker.Event worker.Paused worker.Pauses worker.SlowSource worker.SourceBacklog
worker.Retry worker.Source worker.Status worker.Worker`)

// Whoever adds an exported struct says here whether it holds what must not be printed.
func TestRules_EveryExportedStructIsKnownToPrintOrNot(t *testing.T) {
	t.Parallel()
	all := map[string]bool{}
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		if s.test || strings.HasPrefix(dir, "cmd/") || strings.Contains(dir, "redoxsim") || strings.Contains(dir, "workertest") || strings.Contains(dir, "natsdev") || strings.Contains(dir, "deploy") ||
			strings.Contains(dir, "/internal/") { // out of an embedder's reach
			continue
		}
		for _, d := range s.tree.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range g.Specs {
				if ts, ok := spec.(*ast.TypeSpec); ok && ts.Name.IsExported() {
					if _, ok := ts.Type.(*ast.StructType); ok {
						all[s.tree.Name.Name+"."+ts.Name.Name] = true
					}
				}
			}
		}
	}
	known := slices.Concat(harmless, opaque)
	for name := range guarded {
		known = append(known, name)
	}
	for name := range all {
		if !slices.Contains(known, name) {
			t.Errorf("%s: does it hold a secret or patient data? Then give it Format, LogValue and MarshalJSON, and put it among guarded; else among harmless", name)
		}
	}
	for _, name := range known {
		if !all[name] {
			t.Errorf("there is no %s any more", name)
		}
	}
}

// plant fills v and what it holds with texts that tell where they were put.
func plant(v reflect.Value, at string, planted map[string]string) {
	mark := func() string {
		m := fmt.Sprintf("Planted%03dQz", len(planted))
		planted[m] = at
		return m
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(mark())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				name := f.Name
				if f.Anonymous {
					name = at
				}
				plant(v.Field(i), name, planted)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(mark()))
			return
		}
		one := reflect.MakeSlice(v.Type(), 1, 1)
		plant(one.Index(0), at, planted)
		v.Set(one)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		plant(key, at, planted)
		plant(value, at, planted)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	}
}

// prints is everything that v prints as, alone and as part of something.
func prints(v any) map[string]string {
	value := reflect.ValueOf(v).Elem().Interface()
	type part struct{ V any }
	all := map[string]string{}
	for name, x := range map[string]any{
		"value": value, "pointer": v, "slice": []any{value}, "pointers": []any{v}, "map": map[string]any{"k": value},
		"field": part{value}, "pointer in a field": &part{v},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%20v"} {
			all[name+" "+verb] = fmt.Sprintf(verb, x)
		}
		all[name+" error"] = fmt.Errorf("it failed: %w", errors.New(fmt.Sprint(x))).Error()
		text, err := json.Marshal(x)
		all[name+" JSON"] = fmt.Sprint(string(text), err)
		var b bytes.Buffer
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil), tint.NewTextHandler(&b, nil)} {
			slog.New(handler).With("with", x).WithGroup("g").Info("text", "v", x, slog.Group("group", "v", x))
		}
		all[name+" slog"] = b.String()
	}
	return all
}

// found reports whether a planted text is in what was printed, in any of the ways to write bytes.
func found(printed, planted string) bool {
	lower := strings.ToLower(printed)
	var decimals, octals []string
	for _, c := range []byte(planted) {
		decimals, octals = append(decimals, fmt.Sprint(c)), append(octals, fmt.Sprintf("%o", c))
	}
	bytesOf := strings.Trim(strings.ReplaceAll(fmt.Sprintf("%#v", []byte(planted)), "[]byte", ""), "{}")
	encoded := base64.StdEncoding.EncodeToString([]byte(planted))
	return slices.ContainsFunc([]string{planted, strings.Join(decimals, " "), strings.Join(octals, " "), bytesOf, encoded[:12]}, func(s string) bool {
		return strings.Contains(printed, s)
	}) || strings.Contains(lower, hex.EncodeToString([]byte(planted)))
}

func TestRules_WhatIsGuardedPrintsNoSecretAndNoPatient(t *testing.T) {
	t.Parallel()
	for name, g := range guarded {
		planted := map[string]string{}
		plant(reflect.ValueOf(g.of).Elem(), "", planted)
		if len(planted) == 0 {
			t.Errorf("%s: nothing was planted", name)
		}
		shows := strings.Fields(g.shows)
		missing := slices.Clone(shows)
		for how, printed := range prints(g.of) {
			for mark, field := range planted {
				if !found(printed, mark) {
					continue
				}
				missing = slices.DeleteFunc(missing, func(f string) bool { return f == field })
				if !slices.Contains(shows, field) {
					t.Errorf("%s, %s: prints %s: %s", name, how, field, printed)
				}
			}
			if strings.Contains(printed, "PANIC") || strings.Contains(printed, "panicked") || strings.Contains(printed, "%!v") {
				t.Errorf("%s, %s: %s", name, how, printed)
			}
		}
		if len(missing) > 0 {
			t.Errorf("%s: %v are never shown, and may be", name, missing)
		}
	}
}

// A proxy's password is in the middle of something that may be shown.
func TestRules_AProxyPrintsWithoutItsPassword(t *testing.T) {
	t.Parallel()
	for how, printed := range prints(&redox.TransportConfig{ProxyURL: "http://user:Planted000Qz@proxy.example:3128"}) {
		if found(printed, "Planted000Qz") {
			t.Errorf("%s: %s", how, printed)
		}
	}
}
