package config

import (
	"errors"
	"strings"
	"testing"
)

func TestLoad_NoProblemShowsASecret(t *testing.T) {
	t.Parallel()
	for _, f := range fields {
		if f.kind != kindSecret {
			continue
		}
		for _, value := range []string{"hunter2", "{hunter2", "-----BEGIN hunter2", `{"kty":"hunter2"}`, `["hunter2"`} {
			key := f.named("main")
			_, err := Load(Options{Flags: map[string]any{key: value, key + "_file": "/nowhere"}})
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s=%s: %v", key, value, err)
			}
		}
	}
}

func TestProblem_StringIsOneLine(t *testing.T) {
	t.Parallel()
	got := Problem{Key: "a\nb", Text: "c\r\nd\x00", Mend: "e\u2028f", Where: "g"}.String()
	if want := "a b: c  d ; e f (g)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := shown(strings.Repeat("é", 100)); got != `"`+strings.Repeat("é", 60)+`…"` {
		t.Errorf("long value: %s", got)
	}
	var target Problems
	if err := error(Problems{{Text: "x"}}); !errors.As(err, &target) || err.Error() != "x" {
		t.Error("a problem without key, mend and place")
	}
}

func TestLoad_ProblemsAreBounded(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 1000 {
		b.WriteString(strings.Repeat("x", i+1) + ": 1\n")
	}
	if got := problemsOf(t, Options{File: writeConfig(t, b.String())}); len(got) > maxProblems {
		t.Errorf("%d problems", len(got))
	}
}
