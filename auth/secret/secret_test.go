package secret

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const hidden = "p4ssw0rd-of-the-secret"

// holder has a text where fmt cannot call methods: in an unexported field.
type holder struct {
	text   Text
	nested struct{ deep []Text }
	byName map[string]*Text
}

// forms are all the ways a text can stand in another value.
func forms() map[string]any {
	text := New(hidden)
	h := holder{text: text, byName: map[string]*Text{"a": &text}}
	h.nested.deep = []Text{text}
	return map[string]any{
		"text": text, "pointer": &text, "slice": []Text{text}, "array": [1]Text{text}, "map": map[string]Text{"a": text}, "key": map[Text]int{text: 1},
		"exported field": struct{ Text Text }{text}, "any field": struct{ V any }{text}, "unexported field": h, "pointer to it": &h,
		"error": fmt.Errorf("failed with %v, %q and %#v", text, text, &text),
	}
}

func leaks(text string) bool {
	for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), fmt.Sprintf("% x", hidden), fmt.Sprint([]byte(hidden))} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}

func TestText_HiddenInEveryVerb(t *testing.T) {
	t.Parallel()
	for name, v := range forms() {
		for verb := range strings.SplitSeq("vTtbcdoOqxXUeEfFgGspw", "") {
			for _, flags := range []string{"", "+", "#", "-20", "010", " ", ".3", "#+"} {
				if got := fmt.Sprintf("%"+flags+verb, v); leaks(got) {
					t.Errorf("%s with %%%s%s shows it", name, flags, verb)
				}
			}
		}
		if leaks(fmt.Sprint(v)) || leaks(fmt.Sprintln(v)) || leaks(string(fmt.Append(nil, v))) {
			t.Errorf("%s printed shows it", name)
		}
	}
}

func TestText_HiddenInEncodings(t *testing.T) {
	t.Parallel()
	for name, v := range forms() {
		if name == "error" {
			continue
		}
		j, err := json.Marshal(v)
		if err != nil || leaks(string(j)) {
			t.Errorf("%s as JSON: %v, or shown", name, err)
		}
		y, err := yaml.Marshal(v)
		if err != nil || leaks(string(y)) {
			t.Errorf("%s as YAML: %v, or shown", name, err)
		}
		if x, err := xml.Marshal(v); err == nil && leaks(string(x)) {
			t.Errorf("%s as XML is shown", name)
		}
	}
}

func TestText_HiddenInSlog(t *testing.T) {
	t.Parallel()
	for name, v := range forms() {
		var b bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(h).With("with", v).WithGroup("g").Error("m", "v", v, "group", slog.GroupValue(slog.Any("v", v)))
		}
		if leaks(b.String()) {
			t.Errorf("%s in a log line is shown", name)
		}
	}
}

// TestText_HiddenInPanic runs this test in a process of its own that panics.
func TestText_HiddenInPanic(t *testing.T) {
	t.Parallel()
	if name := os.Getenv("SECRET_TEST_PANIC"); name != "" {
		panic(forms()[name])
	}
	for name := range forms() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestText_HiddenInPanic$")
		cmd.Env = append(os.Environ(), "SECRET_TEST_PANIC="+name)
		out, err := cmd.CombinedOutput()
		if _, ok := errors.AsType[*exec.ExitError](err); !ok || !strings.Contains(string(out), "panic:") {
			t.Fatalf("%s: the process did not panic: %v", name, err)
		}
		if leaks(string(out)) {
			t.Errorf("a panic with a %s shows it", name)
		}
	}
}

func TestText_Values(t *testing.T) {
	t.Parallel()
	abc := New("abc")
	if abc.Reveal() != "abc" || !abc.IsSet() || abc.String() != "[redacted]" || fmt.Sprintf("%5d", abc) != "[redacted]" {
		t.Error("a set text")
	}
	var unset Text
	if unset.Reveal() != "" || unset.IsSet() || unset.String() != "" || New("").IsSet() {
		t.Error("an unset text")
	}
	for _, c := range []struct {
		a, b Text
		want bool
	}{
		{abc, New("abc"), true}, {abc, New("abd"), false}, {abc, unset, false}, {unset, New(""), true},
	} {
		if c.a.Equal(c.b) != c.want {
			t.Errorf("Equal of %d and %d bytes is not %v", len(c.a.Reveal()), len(c.b.Reveal()), c.want)
		}
	}
}
