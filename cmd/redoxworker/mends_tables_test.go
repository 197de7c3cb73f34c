package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/uploads"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/quota"
	"github.com/redoxworker/redoxworker/worker/redox"
	"github.com/redoxworker/redoxworker/worker/redox/platform"
	"github.com/redoxworker/redoxworker/worker/redox/reconcile"
	"github.com/redoxworker/redoxworker/worker/service"
)

func mendsOfWorker(js jetstream.JetStream) []mend {
	deliver := worker.DelivererFunc(func(context.Context, outbox.Message) (outbox.Answer, error) { return outbox.Answer{}, nil })
	work := func(c worker.Config) error { return second(worker.New(js, deliver, c)) }
	retry := func(r worker.Retry) error { return work(worker.Config{Retry: r}) }
	govern := func(c quota.Config) error { return second(quota.New(c)) }
	var none *quota.Governor
	sources := []worker.Source{{Name: "a"}}
	setSources := func(c worker.Config) error {
		w, err := worker.New(js, deliver, c)
		return cmp.Or(err, w.SetSources(sources))
	}
	return []mend{
		mended("needs a JetStream context and a Deliverer", second(worker.New(nil, nil, worker.Config{})), work(worker.Config{})),
		mended("leave it out for no limit", work(worker.Config{Limiter: none}), work(worker.Config{})),
		mended("keep one", work(worker.Config{AllSources: true, Sources: sources}), work(worker.Config{AllSources: true}), work(worker.Config{Sources: sources})),
		mended("the worker serves all there are", setSources(worker.Config{AllSources: true}), setSources(worker.Config{})),
		mended("Concurrency: -1; use 1 or more", work(worker.Config{Concurrency: -1}), work(worker.Config{Concurrency: 1})),
		mended("MetricSources: -1; use 1 or more", work(worker.Config{MetricSources: -1}), work(worker.Config{MetricSources: 1})),
		mended("BreakerAfter: -2; use 1 or more, or -1", work(worker.Config{BreakerAfter: -2}), work(worker.Config{BreakerAfter: 1}), work(worker.Config{BreakerAfter: -1})),
		mended("PullBytes: -1; use 1 or more", work(worker.Config{PullBytes: -1}), work(worker.Config{PullBytes: 1})),
		mended("MaxClaim: -1; use 1 or more", work(worker.Config{MaxClaim: -1}), work(worker.Config{MaxClaim: 1})),
		mended("MaxClaimMemory: -1; use 1 or more", work(worker.Config{MaxClaimMemory: -1}), work(worker.Config{MaxClaimMemory: 1})),
		mended("AckWait: 1ms; use 1s or more", work(worker.Config{AckWait: time.Millisecond}), work(worker.Config{AckWait: time.Second})),
		mended("DrainTimeout: -1s; use more than 0s, or -1", work(worker.Config{DrainTimeout: -time.Second}), work(worker.Config{DrainTimeout: 1}), work(worker.Config{DrainTimeout: -1})),
		mended("AttemptTimeout: -1ns; use more than 0s", work(worker.Config{AttemptTimeout: -1}), work(worker.Config{AttemptTimeout: 1})),
		mended("Retry.Initial: -1ns; use more than 0s", retry(worker.Retry{Initial: -1}), retry(worker.Retry{Initial: 1})),
		mended("Retry.Max: 1s is less than Retry.Initial (2s)", retry(worker.Retry{Max: time.Second}), retry(worker.Retry{Max: 2 * time.Second}), retry(worker.Retry{Initial: time.Second, Max: time.Second})),
		mended("Retry.MaxAge: -1s; use more than 0s, or -1", retry(worker.Retry{MaxAge: -time.Second}), retry(worker.Retry{MaxAge: 1}), retry(worker.Retry{MaxAge: -1})),
		mended("Retry.RequestMaxAge: -1ns; use more than 0s", retry(worker.Retry{RequestMaxAge: -1}), retry(worker.Retry{RequestMaxAge: 1})),
		mended("Retry.MaxAttempts: -1; use 0 for no limit", retry(worker.Retry{MaxAttempts: -1}), retry(worker.Retry{})),
		mended("Retry.PoisonAfter: -2; use 1 or more, or -1", retry(worker.Retry{PoisonAfter: -2}), retry(worker.Retry{PoisonAfter: 1}), retry(worker.Retry{PoisonAfter: -1})),
		mended("Requests: -1; use 1 to", govern(quota.Config{Requests: -1}), govern(quota.Config{Requests: 1})),
		mended("Per: 1ms; use 1s or more", govern(quota.Config{Per: time.Millisecond}), govern(quota.Config{Per: time.Second})),
		mended("Reserve: 1; use 0 or more and less than 1", govern(quota.Config{Reserve: 1}), govern(quota.Config{}), govern(quota.Config{Reserve: 0.99})),
		mended(`Group: "A" is not a name; use 1 to 64 of a-z, 0-9 and -`, govern(quota.Config{Group: "A"}), govern(quota.Config{Group: "a-0"})),
	}
}

// byKey are credentials of that name.
type byKey struct{ redox.Credentials }

func mendsOfSources() []mend {
	keys := map[string]redox.Credentials{"k": byKey{}}
	client := func(c redox.Config) error { return second(redox.New(nil, nil, c)) }
	source := func(edit func(s *redox.Source)) error {
		s := redox.Source{ID: "a-1", Key: "k", Environment: "development"}
		edit(&s)
		return second(redox.New(map[string]redox.Source{"a": s}, keys, redox.Config{}))
	}
	kind := func(k redox.KeyType) error { return source(func(s *redox.Source) { s.KeyType = k }) }
	in := func(environment string) error {
		return source(func(s *redox.Source) { s.Environment = environment })
	}
	good := source(func(*redox.Source) {})
	var none *uploads.Store
	list := []mend{
		mended("leave it out to remember nothing", client(redox.Config{Offload: redox.Offload{Uploads: none}}), client(redox.Config{})),
		mended("Offload.Over: -1; use 1 or more", client(redox.Config{Offload: redox.Offload{Over: -1}}), client(redox.Config{Offload: redox.Offload{Over: 1}})),
		mended("Timeout: -2ns; use more than 0s, or -1 for none", client(redox.Config{Timeout: -2}), client(redox.Config{Timeout: 1}), client(redox.Config{Timeout: -1})),
		mended(`KeyType: "basic"; use oauth, legacy or user`, kind("basic"), kind(redox.KeyOAuth), kind(redox.KeyLegacy), kind(redox.KeyUser)),
		mended("set the Source ID that Redox shows for it", source(func(s *redox.Source) { s.ID = "" }), good),
		mended("ID: use letters, digits and -", source(func(s *redox.Source) { s.ID = "a 1" }), good),
		mended("Key is empty; name one of the keys", source(func(s *redox.Source) { s.Key = "" }), good),
		mended(`Environment: "test"; use development, staging or production`, in("test"), in("development"), in("staging"), in("production")),
		mended("BaseURL: not a URL; use one like https://api.redoxengine.com", client(redox.Config{BaseURL: "http://[::1"}), client(redox.Config{BaseURL: "https://api.redoxengine.com"})),
		mended("BaseURL: use scheme, host and path only, like https://api.redoxengine.com", client(redox.Config{BaseURL: "api.redoxengine.com"}), client(redox.Config{BaseURL: "https://api.redoxengine.com"})),
		mended("BaseURL: http to h would show the token; use https", client(redox.Config{BaseURL: "http://h"}), client(redox.Config{BaseURL: "https://h"})),
		mended(`EndpointPath: "endpoint"; start it with /`, client(redox.Config{EndpointPath: "endpoint"}), client(redox.Config{EndpointPath: "/endpoint"})),
		mended(`StrictAnswers: "true"; use auto, on or off`, client(redox.Config{StrictAnswers: "true"}), client(redox.Config{StrictAnswers: redox.StrictAuto}),
			client(redox.Config{StrictAnswers: redox.StrictOn}), client(redox.Config{StrictAnswers: redox.StrictOff})),
		mended("EndpointPath: use a path only, like /endpoint", client(redox.Config{EndpointPath: "/endpoint?a=b"}), client(redox.Config{EndpointPath: "/endpoint"})),
	}
	for name, c := range map[string]func(n int64) redox.Config{
		"MaxBody":       func(n int64) redox.Config { return redox.Config{MaxBody: n} },
		"MaxFile":       func(n int64) redox.Config { return redox.Config{MaxFile: n} },
		"MaxAnswer":     func(n int64) redox.Config { return redox.Config{MaxAnswer: n} },
		"MaxSendAnswer": func(n int64) redox.Config { return redox.Config{MaxSendAnswer: n} },
	} {
		list = append(list, mended(name+": -2; use 1 or more, or -1 for no limit", client(c(-2)), client(c(1)), client(c(-1))))
	}
	return list
}

func mendsOfTransport() []mend {
	transport := func(c redox.TransportConfig) error { return second(redox.NewTransport(c)) }
	proxy := func(url string) error { return transport(redox.TransportConfig{ProxyURL: url}) }
	return []mend{
		mended("Concurrency: -1; use 1 or more", transport(redox.TransportConfig{Concurrency: -1}), transport(redox.TransportConfig{Concurrency: 1})),
		mended("MaxDials: -2; use 1 or more, or -1 for no limit", transport(redox.TransportConfig{MaxDials: -2}), transport(redox.TransportConfig{MaxDials: 1}), transport(redox.TransportConfig{MaxDials: -1})),
		mended("IdleTimeout: -1s; use more than 0s, or -1 for never", transport(redox.TransportConfig{IdleTimeout: -time.Second}),
			transport(redox.TransportConfig{IdleTimeout: 1}), transport(redox.TransportConfig{IdleTimeout: -1})),
		mended("MaxConnectionAge: -1s; use more than 0s, or -1 for no limit", transport(redox.TransportConfig{MaxConnectionAge: -time.Second}),
			transport(redox.TransportConfig{MaxConnectionAge: 1}), transport(redox.TransportConfig{MaxConnectionAge: -1})),
		mended(`HTTP2: "yes"; use auto, on or off`, transport(redox.TransportConfig{HTTP2: "yes"}),
			transport(redox.TransportConfig{HTTP2: redox.HTTP2Auto}), transport(redox.TransportConfig{HTTP2: redox.HTTP2On}), transport(redox.TransportConfig{HTTP2: redox.HTTP2Off})),
		mended("ProxyURL: not a URL; use one like http://proxy.example:3128", proxy("proxy.example:3128"), proxy("http://proxy.example:3128")),
		mended(`scheme "ftp"; use http, https or socks5`, proxy("ftp://h"), proxy("http://h"), proxy("https://h"), proxy("socks5://h")),
	}
}

func mendsOfReconciler(js jetstream.JetStream) []mend {
	look := func(context.Context, string) (platform.Log, error) { return platform.Log{}, nil }
	reconciler := func(c reconcile.Config) error { return second(reconcile.New(js, look, c)) }
	logs := func(l platform.Logs, id string) error { return second(l.Look(context.Background(), id)) }
	deliver := func(context.Context, outbox.Message) (outbox.Answer, error) {
		return outbox.Answer{Status: 200, Body: []byte(`{"payload":{"status":"Success"}}`)}, nil
	}
	return []mend{
		mended("needs a JetStream context and a Look", second(reconcile.New(nil, nil, reconcile.Config{})), reconciler(reconcile.Config{})),
		mended("Interval: -1ns; use more than 0s", reconciler(reconcile.Config{Interval: -1}), reconciler(reconcile.Config{Interval: 1})),
		mended("GiveUp: 1s; use at least Interval, 1m0s", reconciler(reconcile.Config{GiveUp: time.Second}), reconciler(reconcile.Config{GiveUp: time.Minute})),
		mended("Pace: -1ns; use more than 0s", reconciler(reconcile.Config{Pace: -1}), reconciler(reconcile.Config{Pace: 1})),
		mended("give the Deliver method of a redox.Client", logs(platform.Logs{Organization: "1"}, "a"), logs(platform.Logs{Organization: "1", Deliver: deliver}, "a")),
		mended("not a log id: use letters, digits and -", logs(platform.Logs{Organization: "1", Deliver: deliver}, "a b"), logs(platform.Logs{Organization: "1", Deliver: deliver}, "a-1")),
	}
}

func mendsOfService(t *testing.T) []mend {
	t.Helper()
	embed := func(c config.Config) error {
		s, err := service.New(c, service.Options{})
		if err == nil {
			s.Close()
		}
		return err
	}
	file, keyFile := filepath.Join(t.TempDir(), "redoxworker.yaml"), filepath.Join(t.TempDir(), "key.pem")
	key, err := auth.GenerateKey(auth.ES384, "main")
	if err == nil {
		err = auth.WriteKeyFile(keyFile, key)
	}
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) (*config.Config, error) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Load(config.Options{File: file})
	}
	whole := fmt.Sprintf("keys: {main: {client_id: client, kid: main, private_key_file: %q}}\nsources: {clinic-a: {id: d9f5d293-7110-461e-a875-3beb089e79f3, key: main}}\n", keyFile)
	loaded, err := load(whole)
	if err != nil {
		t.Fatal(err)
	}
	return []mend{
		mended("name one below keys, with its client_id, kid and private_key_file", second(load("")), second(load(whole))),
		mended("name one below sources, with its id and key", second(load("")), second(load(whole))),
		mended("make it with config.Load, or begin with config.Defaults", embed(config.Config{}), embed(*loaded), embed(config.Defaults())),
	}
}
