package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestReadDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       map[string]any
	}{
		{"empty", "", map[string]any{}},
		{"comments only", "# nothing\n", map[string]any{}},
		{"null", "~", map[string]any{}},
		{"blank section and value", "nats:\nlog:\n  level:\n", map[string]any{}},
		{"document marks", "---\nlog: {level: info}\n...\n", map[string]any{"log.level": "info"}},
		{"texts that look otherwise", "nats: {user: 0123, password: true, token: 1.50, context: 2024-01-01}",
			map[string]any{"nats.user": "0123", "nats.password": "true", "nats.token": "1.50", "nats.context": "2024-01-01"}},
		{"list", "reply:\n  allow:\n  - a.>\n  - 5\n", map[string]any{"reply.allow": []string{"a.>", "5"}}},
		{"empty list", "reply: {allow: []}", map[string]any{"reply.allow": []string{}}},
		{"block text", "order:\n  secret: |\n    one\n    two\n", map[string]any{"order.secret": "one\ntwo\n"}},
		{"alias", "log: {level: &l info, format: *l}", map[string]any{"log.level": "info", "log.format": "info"}},
		{"merge", "sources:\n  a: &a {key: k, hold: [x]}\n  b:\n    <<: *a\n    hold: [y]\n",
			map[string]any{"sources.a.key": "k", "sources.a.hold": []string{"x"}, "sources.b.key": "k", "sources.b.hold": []string{"y"}}},
		{"merge of a merge", "sources:\n  a: &a {key: k, environment: production, hold: [x]}\n  b: &b {<<: *a, hold: [y]}\n  c: {<<: *b, key: l}\n",
			map[string]any{"sources.a.key": "k", "sources.a.environment": "production", "sources.a.hold": []string{"x"},
				"sources.b.key": "k", "sources.b.environment": "production", "sources.b.hold": []string{"y"},
				"sources.c.key": "l", "sources.c.environment": "production", "sources.c.hold": []string{"y"}}},
		{"byte order mark", "\ufefflog: {level: info}", map[string]any{"log.level": "info"}},
		{"carriage returns", "log:\r\n  level: info\r\n", map[string]any{"log.level": "info"}},
	} {
		l := readDocument("f", []byte(tt.text))
		if len(l.problems) > 0 {
			t.Errorf("%s: %v", tt.name, l.problems)
		}
		if got, want := fmt.Sprint(l.values), fmt.Sprint(tt.want); got != want {
			t.Errorf("%s: %s, want %s", tt.name, got, want)
		}
	}
}

func TestReadDocument_HostileText(t *testing.T) {
	t.Parallel()
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	var wide strings.Builder
	wide.WriteString("sources:\n  a0: &b {key: x}\n")
	for i := 1; i < 60_000; i++ {
		fmt.Fprintf(&wide, "  a%d: *b\n", i)
	}
	for name, text := range map[string]string{
		"bomb":          bomb,
		"wide":          wide.String(),
		"self":          "keys: &k {main: *k}",
		"merge of list": "sources: {a: {<<: [1]}}",
		"merge of text": "sources: {a: {<<: 1}}",
		"odd keys":      "{[a]: b, {c: d}: e}",
		"deep":          strings.Repeat("[", 5000),
		"self merge":    "sources: {a: &a {<<: *a}}",
		"tagged merge":  "sources: {a: {!!merge x: y}}",
		"binary":        "log: {level: !!binary aHVudGVyMg==}",
		"not UTF-8":     "log: {level: \xff}",
		"null in list":  "reply: {allow: [~]}",
	} {
		l := readDocument("f", []byte(text))
		if len(l.problems) == 0 {
			t.Errorf("%s: nothing is wrong with it", name)
		}
		for _, p := range l.problems {
			if strings.Contains(p.String(), "hunter2") || strings.Contains(p.String(), "aHVud") {
				t.Errorf("%s: %s", name, p)
			}
		}
	}
}
