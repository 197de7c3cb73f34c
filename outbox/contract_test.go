package outbox_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/natsdev"
	"github.com/redoxworker/redoxworker/outbox/topology"
)

// CONTRACT.md says what the code does. Its examples are run by package conformance.

func contractText(t *testing.T) string {
	t.Helper()
	return read(t, "CONTRACT.md")
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is what stands between a heading of the contract and the next.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(contractText(t), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("CONTRACT.md has no section %q", heading)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// rows are the cells of the tables of a text whose first cell is code.
func rows(text string) (all [][]string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "| `") {
			line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "| "), " |")
			all = append(all, strings.Split(line, " | "))
		}
	}
	return all
}

// named are the names in backticks in the first cells of the tables of a section.
func named(t *testing.T, heading string) (names []string) {
	t.Helper()
	for _, row := range rows(section(t, heading)) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[0], -1) {
			names = append(names, m[1])
		}
	}
	return names
}

// headers are the names of headers that are constants of the packages of the contract, with the
// names of these.
func headers(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{jetstream.ExpectedLastSubjSeqHeader: "of package jetstream"}
	for _, pattern := range []string{"contract/*.go", "dlq/*.go", "gateway/*.go"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range list {
			tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Header") && len(spec.Values) == 1 {
					if value, ok := spec.Values[0].(*ast.BasicLit); ok {
						found[strings.Trim(value.Value, `"`)] = spec.Names[0].Name
					}
				}
				if spec, ok := n.(*ast.ValueSpec); ok && strings.HasSuffix(spec.Names[0].Name, "HeaderPrefix") {
					found[strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)+"<Name>"] = spec.Names[0].Name
				}
				return true
			})
		}
	}
	if len(found) < 30 {
		t.Fatalf("%d headers found", len(found))
	}
	return found
}

func TestContract_HasEveryHeader(t *testing.T) {
	t.Parallel()
	documented := slices.Concat(named(t, "Headers of a message"), named(t, "Replies"), named(t, "Dead letters"))
	known := headers(t)
	for header, name := range known {
		if !slices.Contains(documented, header) {
			t.Errorf("%s, %s, is in no table of CONTRACT.md", header, name)
		}
	}
	for _, header := range documented {
		if known[header] == "" && !strings.HasPrefix(header, "REDOX_OUT:") && header != "visit-1" {
			t.Errorf("CONTRACT.md has the header %s, the code has not", header)
		}
	}
	for _, m := range regexp.MustCompile("`(Redox-[A-Za-z-]+)`").FindAllStringSubmatch(contractText(t), -1) {
		if known[m[1]] == "" {
			t.Errorf("CONTRACT.md names %s, which is no header", m[1])
		}
	}
}

// A message with the headers of the table is taken, and one with any other that begins like
// them is not.
func TestContract_HeadersOfAMessage(t *testing.T) {
	t.Parallel()
	table := named(t, "Headers of a message")
	for header, name := range headers(t) {
		_, err := outbox.Decode("", outbox.Stored{Subject: "redox.out.clinic-a.send", Sequence: 1, Header: nats.Header{header: {"1"}}})
		refused := err != nil && (strings.Contains(err.Error(), "is not a header of the contract") || strings.Contains(err.Error(), "is for the gateway only"))
		if strings.HasPrefix(header, "Redox-") && header != contract.HeaderOrderKey && refused == slices.Contains(table, header) {
			t.Errorf("%s (%s) in the table: %v; as a header of a message: %v", header, name, slices.Contains(table, header), err)
		}
	}
}

// Every method of Prefix that makes a subject has its row.
func TestContract_HasEverySubject(t *testing.T) {
	t.Parallel()
	var p contract.Prefix
	const source, token = "<source>", "<token>"
	made := map[string][]string{
		"SendSubject": {p.SendSubject(source)}, "OrderedSubject": {p.OrderedSubject(source, token)}, "RequestSubject": {p.RequestSubject(source)},
		"GatewaySubject": {p.GatewaySubject(source, contract.LaneSend), p.GatewaySubject(source, contract.LaneRequest), "redox.gateway.status"},
		"ReplySubject":   {p.ReplySubject(source, ">")}, "DeadSubject": {p.DeadSubject(source, "<settlement>", token)},
		"WakeSubjects": {p.WakeSubjects()}, "TurnSubject": {p.TurnSubject(source)}, "EventSubject": {p.EventSubject(source, "<what>")}, "ReconcileSubject": {p.ReconcileSubject(source)},
		"WorkersSubject": {p.WorkersSubject()}, "ServedSubject": {p.ServedSubject("<instance>")},
		"DeedSubject":  {strings.Replace(p.DeedSubject("clinic-a"), "clinic-a", source, 1)},
		"AuditSubject": {strings.Replace(p.AuditSubject("clinic-a"), "clinic-a", source, 1)},
		"OutSubjects":  nil, "IsReplySubject": nil, // others have them
	}
	for _, m := range regexp.MustCompile(`(?m)^func \(p Prefix\) (\w*Subjects?)\(`).FindAllStringSubmatch(read(t, "contract/subject.go"), -1) {
		if _, known := made[m[1]]; !known {
			t.Errorf("the subject of Prefix.%s is not compared with CONTRACT.md", m[1])
		}
	}
	want, have := slices.Concat(slices.Collect(maps.Values(made))...), named(t, "Subjects")
	slices.Sort(want)
	if slices.Sort(have); !slices.Equal(have, want) {
		t.Errorf("subjects of CONTRACT.md %q\nwant %q", have, want)
	}
}

func TestContract_HasEverySettlement(t *testing.T) {
	t.Parallel()
	for _, name := range named(t, "Two kinds of traffic") {
		if !outbox.Settlement(name).Valid() {
			t.Errorf("%s is no settlement", name)
		}
	}
	if n := len(named(t, "Two kinds of traffic")); n != 6 {
		t.Errorf("%d settlements", n)
	}
}

func TestContract_StreamsAreAsConfigured(t *testing.T) {
	t.Parallel()
	yes := map[bool]string{true: "yes", false: "no"}
	var want []string
	for _, s := range (topology.Topology{Registry: true, Reconcile: 24 * time.Hour}).Streams() {
		kept := "ever"
		if s.MaxAge > 0 {
			kept = short(s.MaxAge)
		}
		retention := map[jetstream.RetentionPolicy]string{jetstream.WorkQueuePolicy: "work queue", jetstream.LimitsPolicy: "limits"}[s.Retention]
		want = append(want, fmt.Sprintf("`%s` | %s | `%s` | %s | %s | %s", s.Name, retention, strings.Join(s.Subjects, "`, `"), kept, short(s.Duplicates), yes[s.AllowDirect]))
		if s.Storage != jetstream.FileStorage || s.Discard != jetstream.DiscardNew {
			t.Errorf("%s is not on disk, or discards what is old", s.Name)
		}
	}
	var have []string
	for _, row := range rows(section(t, "Streams and buckets")) {
		have = append(have, strings.Join(row, " | "))
	}
	slices.Sort(want)
	if slices.Sort(have); !slices.Equal(have, want) {
		t.Errorf("streams of CONTRACT.md\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// short is a duration without zeros at its end.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func unquoted(t *testing.T, cell string) (text string) {
	t.Helper()
	if err := json.Unmarshal([]byte(strings.Trim(cell, "`")), &text); err != nil {
		t.Fatalf("%s: %v", cell, err)
	}
	return text
}

func TestContract_OrderTokens(t *testing.T) {
	t.Parallel()
	table := rows(section(t, "Order"))
	if len(table) < 10 {
		t.Fatalf("%d vectors", len(table))
	}
	for _, row := range table {
		got, err := outbox.OrderToken([]byte(unquoted(t, row[0])), unquoted(t, row[1]))
		if err != nil || "`"+got+"`" != row[2] {
			t.Errorf("%s under %s: %s, %v; CONTRACT.md says %s", row[1], row[0], got, err, row[2])
		}
	}
}

func TestContract_DeadLetterTokens(t *testing.T) {
	t.Parallel()
	vectors := map[string]uint64{"visit-1": 1, "REDOX_OUT:18446744073709551615": 1<<64 - 1}
	for id, sequence := range vectors {
		row := fmt.Sprintf("| `%s` | `%d` | `%s` |", id, sequence, contract.Prefix("").DeadToken(id, sequence))
		if !strings.Contains(section(t, "Dead letters"), row+"\n") {
			t.Errorf("CONTRACT.md lacks the row\n%s", row)
		}
	}
}

// What a publisher really writes.
func TestContract_Ids(t *testing.T) {
	t.Parallel()
	server, err := natsdev.Start(natsdev.Options{Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Shutdown() })
	conn, err := nats.Connect(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (topology.Topology{}).Ensure(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	table := rows(section(t, "Ids"))
	if len(table) < 5 {
		t.Fatalf("%d vectors", len(table))
	}
	seen := map[string]bool{}
	for _, row := range table {
		secret, source, id := unquoted(t, row[0]), strings.Trim(row[1], "`"), strings.Trim(row[2], "`")
		publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{OrderSecret: []byte(secret)})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := publisher.Publish(t.Context(), outbox.Message{Source: source, ID: id, Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(t.Context(), receipt.Stream)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := stream.GetMsg(t.Context(), receipt.Sequence)
		if err != nil {
			t.Fatal(err)
		}
		got := stored.Header.Get(contract.HeaderID)
		seen[got] = true
		if "`"+got+"`" != row[3] {
			t.Errorf("%s of %s under %s: %s; CONTRACT.md says %s", id, source, row[0], got, row[3])
		}
	}
	if len(seen) != len(table) {
		t.Errorf("%d different values of %d: %q", len(seen), len(table), slices.Sorted(maps.Keys(seen)))
	}
}
