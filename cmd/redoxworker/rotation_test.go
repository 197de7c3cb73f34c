package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/auth"
	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/worker"
	"github.com/redoxworker/redoxworker/worker/redoxsim"
	"github.com/redoxworker/redoxworker/worker/service"
)

// generate makes an EC key, which is quick.
func (s *stage) generate(kid string) auth.Key {
	s.Helper()
	key, err := auth.GenerateKey(auth.ES384, kid)
	if err != nil {
		s.Fatal(err)
	}
	return key
}

// register makes a key of the stage's client known to the simulated Redox.
func (s *stage) register(key auth.Key) {
	s.Helper()
	if err := s.sim.AddOAuthKey(clientID, key.ID(), key.Public()); err != nil {
		s.Fatal(err)
	}
}

// traffic publishes a message every 10 ms until the returned function is called, which
// answers how many there were.
func (s *stage) traffic(p *outbox.Publisher, prefix string) (stop func() int) {
	s.Helper()
	done := make(chan struct{})
	var sending sync.WaitGroup
	n := 0
	sending.Go(func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for ; ; n++ {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			id := fmt.Sprintf("%s-%d", prefix, n)
			m := outbox.Message{ID: id, Source: "clinic-a", ReplyTo: "redox.reply.clinic-a." + id, Body: admit(id)}
			if _, err := p.Publish(s.Context(), m); err != nil {
				s.Error(err)
				return
			}
		}
	})
	stop = sync.OnceValue(func() int { close(done); sending.Wait(); return n })
	s.Cleanup(func() { stop() })
	return stop
}

// withdraw ends a key at the simulated Redox, and the tokens that it made.
func (s *stage) withdraw(kid string) {
	s.sim.RemoveOAuthKey(clientID, kid)
	s.sim.RevokeTokens()
}

// by reports whether tokens come by the key, as /readyz says.
func (s *stage) by(kid string) func() bool {
	return func() bool {
		_, body := s.readyz()
		return body.Keys["main"].KeyID == kid && body.Keys["main"].Usable && body.Keys["main"].Failures == 0
	}
}

// The old key is withdrawn at Redox in the middle of traffic: the next one takes over.
func TestRun_NextKeyTakesOver(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	next := s.generate("next")
	file := filepath.Join(filepath.Dir(s.config), "next.pem")
	if err := auth.WriteKeyFile(file, next); err != nil {
		t.Fatal(err)
	}
	s.configure("private_key_file: ", fmt.Sprintf("next: {kid: next, private_key_file: %s}, ", file))
	s.register(next)
	r := s.run()
	p := s.publisher()
	stop := s.traffic(p, "m")
	s.eventually("messages arrive", func() bool { return len(s.messages()) > 20 }, r.err.String)
	if !s.by("stage")() {
		t.Error("the current key is not the one in use")
	}
	s.withdraw("stage")
	s.eventually("the next key is in use", s.by("next"), r.err.String)
	arrived := len(s.messages())
	s.eventually("messages arrive", func() bool { return len(s.messages()) > arrived+50 }, r.err.String)
	n := stop()
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-a", "m", n)
	if lines := logged(r.err.String(), "WARN", "one key of the pair is refused", `"refused_kid":"stage"`, `"used_kid":"next"`); lines != 1 {
		t.Errorf("%d loud lines about the switch, want 1", lines)
	}
	metrics := get(t, "http://"+s.admin+"/metrics")
	if !strings.Contains(metrics, `redoxworker_auth_key_fallbacks_total{key="main"} 1`) {
		t.Error("the switch is not counted")
	}
	if logged(r.err.String(), "WARN", "paused") != 0 {
		t.Error("the sources paused, although a key was good all the time")
	}
	s.bothServed()
}

// bothServed checks the key set at the admin listener: current and next, with cache headers.
func (s *stage) bothServed() {
	s.Helper()
	response, err := http.Get("http://" + s.admin + service.PathJWKS)
	if err != nil {
		s.Fatal(err)
	}
	_ = response.Body.Close()
	set := get(s, "http://"+s.admin+service.PathJWKS)
	if !strings.Contains(set, `"kid": "stage"`) || !strings.Contains(set, `"kid": "next"`) || strings.Contains(set, `"d":`) {
		s.Errorf("the key set is %s", set)
	}
	if h := response.Header; h.Get("Cache-Control") != "public, max-age=300" || h.Get("ETag") == "" {
		s.Errorf("its headers are %v", h)
	}
}

// pickUp bounds the way from a new key file to a token by the new key.
const pickUp = 2 * time.Second

// rotated writes a new key with put after the old one was withdrawn, in the middle of
// traffic, and checks that the worker picks it up in time, and loses nothing.
//
// With longPause the sources pause for longer by then than the pick-up may take.
func (s *stage) rotated(fresh auth.Key, longPause bool, put func()) {
	s.Helper()
	r := s.run()
	p := s.publisher()
	stop := s.traffic(p, "m")
	s.eventually("messages arrive", func() bool { return len(s.messages()) > 20 }, r.err.String)
	s.register(fresh)
	if fresh.ID() != "stage" {
		s.sim.RemoveOAuthKey(clientID, "stage")
	}
	s.sim.RevokeTokens()
	s.eventually("the old key fails", func() bool { _, body := s.readyz(); return !body.Keys["main"].Usable }, r.err.String)
	if longPause {
		s.eventually("the pause is a long one", func() bool {
			_, body := s.readyz()
			return slices.ContainsFunc(body.Worker.Pauses, func(p worker.Paused) bool { return p.Scope == "key:main" && p.Left > 2*pickUp })
		}, r.err.String)
	}
	before, delivered := s.sim.Stats().TokensIssued, s.taken()
	put()
	written := time.Now()
	s.eventually("a token by the new key", func() bool { return s.sim.Stats().TokensIssued > before }, r.err.String)
	if took := time.Since(written); took > pickUp {
		s.Errorf("picked up after %s, want %s at most", took, pickUp)
	}
	s.eventually("a message under it", func() bool { return s.taken() > delivered }, r.err.String)
	if took := time.Since(written); took > pickUp { // however long the pause would have been
		s.Errorf("messages went on after %s, want %s at most", took, pickUp)
	}
	s.eventually("the new key is in use", s.by(fresh.ID()), r.err.String)
	n := stop()
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-a", "m", n)
}

// taken counts the messages that Redox took.
func (s *stage) taken() int {
	n := 0
	for _, a := range s.messages() {
		if a.Status == http.StatusOK {
			n++
		}
	}
	return n
}

// replace puts a file in the place of another in one step.
func (s *stage) replace(path string, key auth.Key) {
	s.Helper()
	fresh := filepath.Join(filepath.Dir(path), "fresh"+filepath.Ext(path))
	if err := errors.Join(auth.WriteKeyFile(fresh, key), os.Rename(fresh, path)); err != nil {
		s.Fatal(err)
	}
}

func TestRun_NewKeyFileInPlace(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	fresh := s.generate("stage")
	s.rotated(fresh, true, func() { s.replace(filepath.Join(filepath.Dir(s.config), "key.pem"), fresh) })
}

// A JWK says its own kid, so another key may stand in its file.
func TestRun_NewJWKWithAnotherKidInPlace(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	file := filepath.Join(filepath.Dir(s.config), "key.jwk")
	if err := auth.WriteKeyFile(file, s.key); err != nil {
		t.Fatal(err)
	}
	s.reconfigure("kid: stage, private_key_file: "+filepath.Join(filepath.Dir(s.config), "key.pem"), "private_key_file: "+file)
	fresh := s.generate("stage-2")
	s.rotated(fresh, false, func() { s.replace(file, fresh) })
}

// Kubernetes swaps a symlink beside the file.
func TestRun_NewKeyByKubernetes(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	volume := t.TempDir()
	mount := func(version string, key auth.Key) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(volume, version), 0o700); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(volume, "..data_tmp")
		err := errors.Join(auth.WriteKeyFile(filepath.Join(volume, version, "key.pem"), key),
			os.Symlink(version, link), os.Rename(link, filepath.Join(volume, "..data")))
		if err != nil {
			t.Fatal(err)
		}
	}
	mount("..2026_01", s.key)
	if err := os.Symlink("..data/key.pem", filepath.Join(volume, "key.pem")); err != nil {
		t.Fatal(err)
	}
	s.reconfigure(filepath.Join(filepath.Dir(s.config), "key.pem"), filepath.Join(volume, "key.pem"))
	fresh := s.generate("stage")
	s.rotated(fresh, false, func() {
		mount("..2026_02", fresh)
		if err := os.RemoveAll(filepath.Join(volume, "..2026_01")); err != nil {
			t.Fatal(err)
		}
	})
}

// A file that cannot be used leaves the old key in use, and says so.
func TestRun_BadKeyFileKeepsTheOldKey(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	r := s.run()
	p := s.publisher()
	file := filepath.Join(filepath.Dir(s.config), "key.pem")
	if err := os.WriteFile(file, []byte("hunter2"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.eventually("the bad file is reported", func() bool {
		return logged(r.err.String(), "ERROR", "the old one stays in use", "keys.main.private_key_file") == 1
	}, r.err.String)
	s.sim.RevokeTokens()
	s.publish(p, "clinic-a", "m", 5)
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-a", "m", 5)
	if strings.Contains(r.err.String(), "hunter2") {
		t.Error("the log quotes the file")
	}

	fresh := s.generate("stage")
	s.register(fresh)
	data, err := fresh.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, data, 0o600), os.Chmod(file, 0o640)); err != nil {
		t.Fatal(err)
	}
	s.eventually("the open file is reported", func() bool {
		return logged(r.err.String(), "WARN", "open to others", file, "0640") >= 1
	}, r.err.String)
}

// A legacy key: its source needs no Source ID, and its API key and secret are files that
// may change.
func TestRun_LegacyKeyEndToEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t, &redoxsim.Server{}, "")
	dir := filepath.Dir(s.config)
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.configure("  # more keys", fmt.Sprintf("  old: {type: legacy, api_key_file: %s, secret_file: %s}\n", write("api-key", "api-key-1"), write("secret", "s3cr3t-1")))
	s.configure("  # more sources", "  clinic-old: {key: old}\n")
	s.sim.AddLegacyKey("api-key-1", "s3cr3t-1")
	s.sim.AddSource(redoxsim.Source{ID: "9ce6f387-c33c-417d-8682-81e83628cbd9", Keys: []string{"api-key-1", "api-key-2"}})
	r := s.run()
	p := s.publisher()
	s.publish(p, "clinic-old", "m", 5)
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-old", "m", 5)
	for _, a := range s.messages() {
		if a.HeaderSource != "" || a.BodySource != "" {
			t.Errorf("a Source ID was sent: header %q, body %q", a.HeaderSource, a.BodySource)
		}
	}

	s.sim.AddLegacyKey("api-key-1", "s3cr3t-2") // ends the old secret at once
	s.sim.RevokeTokens()
	s.publish(p, "clinic-old", "n", 5)
	s.eventually("the old secret fails", func() bool { _, body := s.readyz(); return !body.Keys["old"].Usable }, r.err.String)
	write("secret", "s3cr3t-2")
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-old", "n", 5)

	s.sim.AddLegacyKey("api-key-1", "ended")
	s.sim.AddLegacyKey("api-key-2", "s3cr3t-2")
	s.sim.RevokeTokens()
	s.publish(p, "clinic-old", "o", 5)
	s.eventually("the old API key fails", func() bool { _, body := s.readyz(); return !body.Keys["old"].Usable }, r.err.String)
	write("api-key", "api-key-2")
	s.drained(r.err.String)
	s.deliveredAtFirst("clinic-old", "o", 5)
	if log := r.err.String(); strings.Contains(log, "s3cr3t") || strings.Contains(log, "api-key-1") {
		t.Error("the log shows an API key or a secret")
	}
}
