package config

import "testing"

// What the section of the console sets is its own, and the rest as the workers have it; a way to log in takes
// the place of theirs, with their inboxes.
func TestForConsole(t *testing.T) {
	t.Parallel()
	worker := map[string]any{"nats.url": "nats://a:1", "nats.user": "worker", "nats.password": "w", "nats.inbox_prefix": "_INBOX_worker", "nats.prefix": "clinic"}
	for name, tt := range map[string]struct {
		own  map[string]any
		want func(NATS) bool
	}{
		"nothing": {nil, func(n NATS) bool { return n.User == "worker" && n.InboxPrefix == "_INBOX_worker" }},
		"a user": {map[string]any{"console.nats.user": "console", "console.nats.password": "c", "console.nats.inbox_prefix": "_INBOX_console"},
			func(n NATS) bool {
				return n.User == "console" && n.Password.Reveal() == "c" && n.InboxPrefix == "_INBOX_console"
			}},
		"a token": {map[string]any{"console.nats.token": "t"}, func(n NATS) bool { return n.User == "" && n.Token.Reveal() == "t" && n.InboxPrefix == "" }},
		"a user in the address": {map[string]any{"console.nats.url": "nats://console:c@b:1"}, func(n NATS) bool {
			return n.User == "" && n.URL.Reveal() == "nats://console:c@b:1" && n.InboxPrefix == ""
		}},
		"a server": {map[string]any{"console.nats.url": "nats://b:1"}, func(n NATS) bool { return n.User == "worker" && n.URL.Reveal() == "nats://b:1" }},
	} {
		flags := map[string]any{}
		for _, all := range []map[string]any{worker, tt.own} {
			for key, value := range all {
				flags[key] = value
			}
		}
		c := mustLoad(t, Options{Flags: flags, Skip: PartKeys | PartSources | PartOrderSecret})
		own := c.ForConsole()
		if n := own.NATS; !tt.want(n) || n.Prefix != "clinic" || n.URL.Reveal() == "" {
			t.Errorf("%s: %s of %s, inboxes %s", name, n.User, n.URL, n.InboxPrefix)
		}
		if c.NATS.User != "worker" || c.HasOwnNATS() != (own.NATS.User != "worker") {
			t.Errorf("%s: the workers log in as %q", name, c.NATS.User)
		}
	}
}
