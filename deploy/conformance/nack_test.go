package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	batch "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"github.com/redoxworker/redoxworker/outbox/natsdev"
)

// resource is one that NACK's controller takes.
type resource struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec json.RawMessage `json:"spec"`
}

// nackSpec is the spec of a Stream.
type nackSpec struct {
	Name                   string   `json:"name"`
	Description            string   `json:"description"`
	Subjects               []string `json:"subjects"`
	Retention              string   `json:"retention"`
	Discard                string   `json:"discard"`
	Storage                string   `json:"storage"`
	Replicas               int      `json:"replicas"`
	MaxAge                 string   `json:"maxAge"`
	MaxBytes               int64    `json:"maxBytes"`
	MaxMsgs                int64    `json:"maxMsgs"`
	MaxMsgSize             int32    `json:"maxMsgSize"`
	MaxMsgsPerSubject      int64    `json:"maxMsgsPerSubject"`
	MaxConsumers           int      `json:"maxConsumers"`
	DuplicateWindow        string   `json:"duplicateWindow"`
	AllowDirect            bool     `json:"allowDirect"`
	AllowRollup            bool     `json:"allowRollup"`
	DenyDelete             bool     `json:"denyDelete"`
	AllowMsgTTL            bool     `json:"allowMsgTtl"`
	SubjectDeleteMarkerTTL string   `json:"subjectDeleteMarkerTtl"`
	PreventDelete          bool     `json:"preventDelete"`
}

// stream is what NACK's controller makes of the spec: where that says nothing, what it likes, such as an
// age of a year.
func (n nackSpec) stream(t *testing.T) jetstream.StreamConfig {
	t.Helper()
	c := jetstream.StreamConfig{
		Name: n.Name, Description: n.Description, Subjects: n.Subjects, Replicas: n.Replicas, MaxBytes: n.MaxBytes, MaxMsgs: n.MaxMsgs, MaxMsgSize: n.MaxMsgSize, MaxConsumers: n.MaxConsumers,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld, Storage: jetstream.MemoryStorage, MaxMsgsPerSubject: -1, MaxAge: 365 * 24 * time.Hour,
		AllowDirect: n.AllowDirect, AllowRollup: n.AllowRollup, DenyDelete: n.DenyDelete, AllowMsgTTL: n.AllowMsgTTL,
	}
	if n.Retention == "workqueue" {
		c.Retention = jetstream.WorkQueuePolicy
	}
	if n.Discard == "new" {
		c.Discard = jetstream.DiscardNew
	}
	if n.Storage == "file" {
		c.Storage = jetstream.FileStorage
	}
	if n.MaxMsgsPerSubject > 0 {
		c.MaxMsgsPerSubject = n.MaxMsgsPerSubject
	}
	for text, into := range map[string]*time.Duration{n.MaxAge: &c.MaxAge, n.DuplicateWindow: &c.Duplicates, n.SubjectDeleteMarkerTTL: &c.SubjectDeleteMarkerTTL} {
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		*into = d
	}
	return c
}

// What is printed for NACK is taken by its resources as Kubernetes keeps them, makes with the printed job,
// and the rights that the text names, the streams of the configuration to the last setting, and goes on
// doing so; nothing republishes a body meanwhile, and whoever deletes a resource deletes no stream.
func TestNACK_MakesTheStreams(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"defaults":   "",
		"production": strings.Join([]string{"registry: true", "queue: {max_bytes: 200000000}", "audit: {stream: true}"}, "\n"),
		"everything": "registry: true\nqueue: {max_bytes: 200000000, max_msgs: 1000}\ndlq: {max_age: 720h}\naudit: {stream: true, max_age: 1h30m}\nreconcile: {enabled: true, give_up: 36h}\nredox: {organization_id: o}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			prefix := ""
			if name == "everything" {
				prefix = ", prefix: team"
			}
			s := &site{T: t, dir: t.TempDir()}
			s.file = filepath.Join(s.dir, "redoxworker.yaml")
			s.write("redoxworker.yaml", "nats: {url: \"nats://somebody:s3cret@127.0.0.1:1\""+prefix+"}\n"+text)
			printed := s.print()
			if strings.Contains(printed, "s3cret") || strings.Contains(printed, "headersOnly") {
				t.Errorf("a secret, or a field that is dropped:\n%s", printed)
			}
			streams, job := readNACK(t, printed)
			s.nackServer(printed)
			s.reconcile(streams)
			if left := s.drift(); strings.Count(left, "\n") != 1 || !strings.Contains(left, `"action":"create"`) || !strings.Contains(left, `_OUT"`) {
				t.Errorf("beside the work queue the resources leave:\n%s", left)
			}
			s.provisionBy(job)
			s.reconcile(streams) // as its controller does whenever it starts
			if left := s.drift(); left != "" {
				t.Errorf("resources and job leave:\n%s", left)
			}
		})
	}
}

// drift is what the streams lack of the configuration, or have otherwise: a line for each.
func (s *site) drift() string {
	s.Helper()
	out, err := s.try("operator", "redoxworker provision --dry-run --json --server "+s.nats.URL())
	if err != nil && !strings.HasPrefix(out, `{"`) {
		s.Errorf("%v\n%s", err, out)
	}
	return out
}

func (s *site) print() string {
	s.Helper()
	bin, err := program()
	s.must(err)
	out, err := exec.CommandContext(s.Context(), bin+"/redoxworker", "provision", "--print", "nack", "--config", s.file).CombinedOutput()
	if err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// readNACK reads what is printed: streams by a schema that has no other fields, and a job.
func readNACK(t *testing.T, printed string) (streams []nackSpec, job batch.Job) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("testdata/nack-stream.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range strings.Split(printed, "\n---\n") {
		var r resource
		if err := yaml.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`).MatchString(r.Metadata.Name) && r.Kind != "" {
			t.Errorf("Kubernetes takes no object of the name %s", r.Metadata.Name)
		}
		switch r.APIVersion + " " + r.Kind {
		case " ": // the text before the first
		case "jetstream.nats.io/v1beta2 Stream":
			value, err := jsonschema.UnmarshalJSON(bytes.NewReader(r.Spec))
			if err == nil {
				err = schema.Validate(value)
			}
			var spec nackSpec
			if err == nil {
				err = json.Unmarshal(r.Spec, &spec)
			}
			if err != nil {
				t.Errorf("%s: %v", r.Metadata.Name, err)
			}
			streams = append(streams, spec)
		case "batch/v1 Job":
			if err := yaml.UnmarshalStrict([]byte(text), &job); err != nil {
				t.Error(err)
			}
		default:
			t.Errorf("%s %s", r.APIVersion, r.Kind)
		}
	}
	if len(streams) < 7 || job.Name == "" {
		t.Fatalf("%d streams, job %q", len(streams), job.Name)
	}
	return streams, job
}

// nackServer has the accounts of nats/accounts.conf, for any prefix, and the user that the text names.
func (s *site) nackServer(printed string) {
	s.Helper()
	_, rest, _ := strings.Cut(printed, "#   { user: nack")
	user, _, found := strings.Cut("{ user: nack"+rest, "} } }\n")
	if !found {
		s.Fatalf("no user in\n%s", printed)
	}
	bin, err := program()
	s.must(err)
	s.write("sources.yaml", "nats: {prefix: "+strings.ToLower(strings.TrimSuffix(regexp.MustCompile(`STREAM\.CREATE\.([A-Z]+)_OUT`).FindStringSubmatch(user)[1], "_"))+"}\n"+
		"sources: {clinic-a: {id: 7ce6f387-c33c-417d-8682-81e83628cbd9, key: none}, clinic-b: {id: 8ce6f387-c33c-417d-8682-81e83628cbd9, key: none}}\n")
	accounts, err := exec.CommandContext(s.Context(), bin+"/redoxworker", "provision", "--print", "accounts", "--config", filepath.Join(s.dir, "sources.yaml")).Output()
	s.must(err)
	const users = "    users: [\n"
	s.write("accounts.conf", strings.Replace(string(accounts), users, users+strings.ReplaceAll(user, "\n#", "\n")+"} } }\n", 1))
	single, err := os.ReadFile("../nats/single.conf")
	s.must(err)
	s.write("single.conf", strings.Replace(string(single), "\nhttp: 127.0.0.1:8222\n", "\n", 1)) // of one server at a time
	s.nats, err = natsdev.Start(natsdev.Options{Dir: filepath.Join(s.dir, "nats"), Port: -1, ConfigFile: filepath.Join(s.dir, "single.conf")})
	s.must(err)
	s.Cleanup(func() { _ = s.nats.Shutdown() })
}

// reconcile does what NACK's controller does: it makes a stream, or sets back what differs.
func (s *site) reconcile(streams []nackSpec) {
	s.Helper()
	nc, err := nats.Connect(s.nats.URL(), nats.UserInfo("nack", password("nack")))
	s.must(err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	s.must(err)
	for _, spec := range streams {
		_, err := js.CreateOrUpdateStream(s.Context(), spec.stream(s.T))
		if err != nil {
			s.Errorf("%s: %v", spec.Name, err)
		}
		if strings.HasSuffix(spec.Name, "_OUT") {
			s.Errorf("%s is a resource: it would republish bodies", spec.Name)
		}
	}
}

// provisionBy does what the job does, as the job's pod has it.
func (s *site) provisionBy(job batch.Job) {
	s.Helper()
	c := job.Spec.Template.Spec.Containers[0]
	bin, err := program()
	s.must(err)
	cmd := exec.CommandContext(s.Context(), bin+"/redoxworker", append(c.Args, "--server", s.nats.URL())...)
	for _, e := range c.Env {
		value := strings.ReplaceAll(e.Value, "/etc/redoxworker/secrets", s.dir)
		cmd.Env = append(cmd.Env, fmt.Sprint(e.Name, "=", value))
	}
	s.write("nats-operator-password", password("operator"))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.Errorf("the job: %v\n%s", err, out)
	}
}
