package provisioncmd

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/template"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.yaml.in/yaml/v3"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
	"github.com/redoxworker/redoxworker/config"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/worker/service"
)

//go:embed nack.yaml.tmpl
var nackText string

// nackStream is a Stream of jetstream.nats.io/v1beta2, of which a resource is made for each stream: those
// of buckets and of the object store, too, since KeyValue and ObjectStore leave less to be said, and a
// controller without --control-loop does not know them.
type nackStream struct {
	Name, Resource string
	Spec           nackSpec
}

// nackSpec says all that the stream is to be: what a resource leaves out is what its controller likes, such
// as an age of a year.
type nackSpec struct {
	Name                   string   `yaml:"name"`
	Description            string   `yaml:"description"`
	Subjects               []string `yaml:"subjects"`
	Retention              string   `yaml:"retention"`
	Discard                string   `yaml:"discard"`
	Storage                string   `yaml:"storage"`
	Replicas               int      `yaml:"replicas"`
	MaxAge                 string   `yaml:"maxAge"`
	MaxBytes               int64    `yaml:"maxBytes"`
	MaxMsgs                int64    `yaml:"maxMsgs"`
	MaxMsgSize             int32    `yaml:"maxMsgSize"`
	MaxMsgsPerSubject      int64    `yaml:"maxMsgsPerSubject"`
	MaxConsumers           int      `yaml:"maxConsumers"`
	DuplicateWindow        string   `yaml:"duplicateWindow"`
	AllowDirect            bool     `yaml:"allowDirect"`
	AllowRollup            bool     `yaml:"allowRollup"`
	DenyDelete             bool     `yaml:"denyDelete"`
	AllowMsgTTL            bool     `yaml:"allowMsgTtl"`
	SubjectDeleteMarkerTTL string   `yaml:"subjectDeleteMarkerTtl"`
	PreventDelete          bool     `yaml:"preventDelete"`
}

// printNACK prints the resources for the configuration.
func printNACK(a *cli.App) error {
	c, err := a.Load(cli.NATSOnly)
	if err != nil {
		return err
	}
	return writeNACK(a.Stdout, c)
}

func writeNACK(to io.Writer, c *config.Config) error {
	var made []nackStream
	var left []string
	for _, cfg := range service.Topology(c).Streams() {
		if cfg.RePublish != nil { // the resource has no headersOnly: bodies would be republished
			left = append(left, cfg.Name)
			continue
		}
		made = append(made, nackStream{cfg.Name, strings.ToLower(strings.ReplaceAll(cfg.Name, "_", "-")), nackSpecOf(cfg)})
	}
	page, err := template.New("nack").Funcs(template.FuncMap{"indented": indented, "join": strings.Join}).Parse(nackText)
	if err != nil {
		return err
	}
	environ := jobEnvironment(c)
	var text bytes.Buffer
	err = page.Execute(&text, map[string]any{"Streams": made, "Left": left, "Environment": environ, "Wake": contract.Prefix(c.NATS.Prefix).WakeSubjects(), "CA": c.NATS.TLS.CAFile != "", "Hash": jobHash(environ)})
	if err == nil {
		_, err = to.Write(text.Bytes())
	}
	if err != nil {
		return fmt.Errorf("printing resources of NACK: %w", err)
	}
	return nil
}

func nackSpecOf(c jetstream.StreamConfig) nackSpec {
	retention := "limits"
	if c.Retention == jetstream.WorkQueuePolicy {
		retention = "workqueue"
	}
	marker := ""
	if c.SubjectDeleteMarkerTTL > 0 {
		marker = c.SubjectDeleteMarkerTTL.String()
	}
	return nackSpec{
		Name: c.Name, Description: c.Description, Subjects: c.Subjects, Retention: retention, Discard: "new", Storage: "file", Replicas: c.Replicas,
		MaxAge: c.MaxAge.String(), MaxBytes: c.MaxBytes, MaxMsgs: c.MaxMsgs, MaxMsgSize: c.MaxMsgSize, MaxMsgsPerSubject: c.MaxMsgsPerSubject,
		MaxConsumers: c.MaxConsumers, DuplicateWindow: c.Duplicates.String(), AllowDirect: c.AllowDirect, AllowRollup: c.AllowRollup, DenyDelete: c.DenyDelete,
		AllowMsgTTL: c.AllowMsgTTL, SubjectDeleteMarkerTTL: marker, PreventDelete: true,
	}
}

// indented is YAML below a key of the first level.
func indented(of any) (string, error) {
	var text bytes.Buffer
	encoder := yaml.NewEncoder(&text)
	encoder.SetIndent(2)
	if err := encoder.Encode(of); err != nil {
		return "", err
	}
	return "  " + strings.ReplaceAll(strings.TrimSpace(text.String()), "\n", "\n  "), nil
}

// variable is one of a pod's environment.
type variable struct{ Name, Value string }

// jobEnvironment are the settings that decide about streams, of which the configuration has another value
// than the default, and where NATS is: users of others are no part of that.
func jobEnvironment(c *config.Config) []variable {
	of := []variable{{"nats.url", strings.ReplaceAll(c.NATS.URL.String(), "[redacted]@", "")}}
	for _, s := range []struct {
		key   string
		value any
	}{
		{"nats.prefix", c.NATS.Prefix}, {"nats.replicas", c.NATS.Replicas}, {"queue.max_bytes", c.Queue.MaxBytes}, {"queue.max_msgs", c.Queue.MaxMsgs},
		{"dlq.max_age", c.DLQ.MaxAge}, {"audit.max_age", c.Audit.MaxAge}, {"registry", c.Registry},
		{"reconcile.enabled", c.Reconcile.Enabled}, {"reconcile.give_up", c.Reconcile.GiveUp},
	} {
		if age, ok := s.value.(time.Duration); ok {
			s.value = age.String()
		}
		if c.Origin(s.key) != "default" {
			of = append(of, variable{s.key, fmt.Sprint(s.value)})
		}
	}
	if c.NATS.TLS.CAFile != "" {
		of = append(of, variable{"nats.tls.ca_file", "/etc/redoxworker/secrets/nats-ca.pem"})
	}
	for i := range of {
		of[i].Name = "REDOXWORKER_" + strings.ToUpper(strings.ReplaceAll(of[i].Name, ".", "_"))
	}
	return of
}

// jobHash names a job anew when what it does is another thing: a job cannot be changed.
func jobHash(environ []variable) string {
	sum := sha256.Sum256(fmt.Append(nil, environ))
	return fmt.Sprintf("%x", sum[:4])
}
