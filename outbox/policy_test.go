package outbox

import (
	"errors"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func TestReplyPolicy_Check(t *testing.T) {
	t.Parallel()
	custom := []string{"_INBOX_{source}.>", "apps.*.replies", "{source}-box.one"}
	tests := []struct {
		name    string
		allow   []string
		source  string
		subject string
		ok      bool
	}{
		{"inbox", nil, "a", "_INBOX.abc.1", true},
		{"own durable reply", nil, "a", "redox.reply.a.1", true},
		{"own durable reply, deeper", nil, "a", "redox.reply.a.x.y", true},
		{"own durable reply without inboxes", []string{}, "a", "redox.reply.a.1", true},
		{"no inboxes", []string{}, "a", "_INBOX.abc", false},
		{"another's durable reply", nil, "a", "redox.reply.b.1", false},
		{"prefix of the source", nil, "a", "redox.reply.ab.1", false},
		{"no rest", nil, "a", "redox.reply.a", false},
		{"no source", nil, "", "redox.reply..1", false},
		{"the queue", nil, "a", "redox.out.a.send", false},
		{"dead letters", nil, "a", "redox.dlq.a.held.x", false},
		{"gateway", nil, "a", "redox.gateway.b.send", false},
		{"the prefix itself", nil, "a", "redox", false},
		{"JetStream API", nil, "a", "$JS.API.STREAM.DELETE.REDOX_OUT", false},
		{"ack", nil, "a", "$JS.ACK.REDOX_OUT.a-send.1.1.1.1.1", false},
		{"system", nil, "a", "$SYS.REQ.SERVER.PING", false},
		{"key-value", nil, "a", "$KV.REDOX_STATE.pause", false},
		{"wildcard", nil, "a", "_INBOX.*", false},
		{"full wildcard", nil, "a", "_INBOX.>", false},
		{"wildcard inside", nil, "a", "_INBOX.a*", false},
		{"bare inbox", nil, "a", "_INBOX", false},
		{"space", nil, "a", "_INBOX.a b", false},
		{"newline", nil, "a", "_INBOX.a\r\nPUB x 1", false},
		{"tab", nil, "a", "_INBOX.a\tb", false},
		{"empty token", nil, "a", "_INBOX..a", false},
		{"final dot", nil, "a", "_INBOX.a.", false},
		{"first dot", nil, "a", "._INBOX.a", false},
		{"empty", nil, "a", "", false},
		{"unicode", nil, "a", "_INBOX.ä", false},
		{"case", nil, "a", "_inbox.a", false},
		{"source inside a token", custom, "a", "_INBOX_a.1", true},
		{"another source inside a token", custom, "a", "_INBOX_b.1", false},
		{"source inside a token, longer", custom, "a", "_INBOX_aa.1", false},
		{"star", custom, "a", "apps.x.replies", true},
		{"star takes one token", custom, "a", "apps.x.y.replies", false},
		{"too long", custom, "a", "apps.x.replies.z", false},
		{"too short", custom, "a", "apps.x", false},
		{"source before text", custom, "a", "a-box.one", true},
		{"default does not apply beside patterns", custom, "a", "_INBOX.1", false},
		{"512 bytes", nil, "a", "_INBOX." + strings.Repeat("x", wire.MaxSubject-7), true},
		{"513 bytes", nil, "a", "_INBOX." + strings.Repeat("x", wire.MaxSubject-6), false},
	}
	for _, tt := range tests {
		err := ReplyPolicy{Allow: tt.allow}.Check(tt.source, tt.subject)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %v", tt.name, err, tt.ok)
		}
		var refused *ContractError
		if err != nil && (!errors.As(err, &refused) || strings.Contains(err.Error(), "abc")) {
			t.Errorf("%s: error %v", tt.name, err)
		}
	}
}

func TestReplyPolicy_CheckOtherPrefix(t *testing.T) {
	t.Parallel()
	r := ReplyPolicy{Prefix: "team", Allow: []string{"redox.reply.>"}}
	if err := r.Check("a", "team.reply.a.1"); err != nil {
		t.Errorf("own reply: %v", err)
	}
	if err := r.Check("a", "team.out.a.send"); err == nil {
		t.Error("the queue is allowed")
	}
	if err := r.Check("a", "redox.reply.b.1"); err != nil {
		t.Errorf("a pattern in another prefix: %v", err)
	}
}

func TestReplyPolicy_Validate(t *testing.T) {
	t.Parallel()
	for pattern, ok := range map[string]bool{
		"_INBOX.>": true, "_INBOX_{source}.>": true, "apps.*.replies": true, "one": true,
		">": false, "*": false, "*.x": false, "$JS.>": false, "$SYS.x": false, "redox.>": false, "redox.reply.b.>": false,
		"": false, "a..b": false, "a.>.b": false, "a.b*": false, "a.b>": false, "a b": false, ".a": false, "a.": false,
	} {
		if err := (ReplyPolicy{Allow: []string{pattern}}).Validate(); (err == nil) != ok {
			t.Errorf("Validate(%q) = %v, want ok %v", pattern, err, ok)
		}
	}
	err := ReplyPolicy{Prefix: "BAD", Allow: []string{">", "$JS.>"}}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("Validate = %v, want all three problems", err)
	}
}

func TestReplyPolicy_CheckDoesNotAllocate(t *testing.T) {
	r := ReplyPolicy{Allow: []string{"_INBOX_{source}.>", "_INBOX.>"}}
	if n := testing.AllocsPerRun(100, func() {
		if r.Check("clinic-a", "_INBOX.abcdefgh.1") != nil || r.Check("clinic-a", "redox.reply.clinic-a.1") != nil {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzReplyPolicy(f *testing.F) {
	for _, s := range []string{"_INBOX.a", "redox.reply.a.1", "redox.reply.b.1", "$JS.API.INFO", "redox.out.a.send", "_INBOX.>", "_INBOX. x", ""} {
		f.Add(s)
	}
	r := ReplyPolicy{Allow: []string{"_INBOX.>", "apps.{source}.*"}}
	f.Fuzz(func(t *testing.T, subject string) {
		if r.Check("a", subject) != nil {
			return
		}
		own := strings.HasPrefix(subject, "redox.reply.a.") || strings.HasPrefix(subject, "_INBOX.") || strings.HasPrefix(subject, "apps.a.")
		if !own || strings.ContainsAny(subject, "*> \t\r\n\x00") || strings.Contains(subject, "..") {
			t.Fatalf("%q is allowed", subject)
		}
	})
}
