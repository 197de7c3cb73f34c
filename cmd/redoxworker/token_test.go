package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/checkcmd"
	"github.com/redoxworker/redoxworker/cmd/redoxworker/internal/cli"
)

func TestOnly(t *testing.T) {
	t.Parallel()
	none, one, two := map[string]int{}, map[string]int{"a": 1}, map[string]int{"b": 1, "a": 2}
	for name, tc := range map[string]struct {
		asked string
		have  map[string]int
		want  string
		err   string
	}{
		"the only one":     {"", one, "a", ""},
		"named":            {"b", two, "b", ""},
		"none":             {"", none, "", "--key: missing, and the configuration has no key; name one"},
		"several":          {"", two, "", "--key: missing, and there are several; name one of a, b"},
		"unknown":          {"c", two, "", `--key: no key is called "c"; configured: a, b`},
		"unknown, no keys": {"c", none, "", `--key: no key is called "c"; configured: none`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := only("key", tc.asked, tc.have)
			if got != tc.want || errorText(err) != tc.err {
				t.Errorf("%q, %v; want %q, %q", got, err, tc.want, tc.err)
			}
		})
	}
}

func TestClockText(t *testing.T) {
	t.Parallel()
	for ahead, want := range map[time.Duration]string{
		0:                       "right to the second",
		1400 * time.Millisecond: "right to the second",
		-time.Second:            "right to the second",
		7 * time.Second:         "7s ahead of the server's",
		-90 * time.Second:       "1m30s behind the server's",
	} {
		if got := checkcmd.ClockText(ahead, true); got != want {
			t.Errorf("%s: %q, want %q", ahead, got, want)
		}
	}
	if got := checkcmd.ClockText(0, false); got != "the server did not say its time" {
		t.Errorf("unknown: %q", got)
	}
}

func TestTokenReport_Print(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r := tokenReport{
		Key: "main", Type: "oauth", KID: "k1", Server: "https://api.redoxengine.com/v2/auth/token", Lifetime: "5m0s",
		Expires: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), SkewMS: 12_000, skewKnown: true,
	}
	if err := r.print(&cli.App{Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	const want = `key      main (oauth)
kid      k1
server   https://api.redoxengine.com/v2/auth/token
expires  2026-01-02T03:04:05Z (lifetime 5m0s)
scope    none
clock    12s ahead of the server's
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}
