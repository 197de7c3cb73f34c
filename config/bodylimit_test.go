package config

import "testing"

func TestBodyLimit(t *testing.T) {
	t.Parallel()
	c := Defaults()
	limits := func() (all [3]int64) {
		for i, kind := range []string{"data-model", "fhir", "file"} {
			all[i], _ = c.Redox.BodyLimit(kind)
		}
		return all
	}
	if got := limits(); got != [3]int64{10_000_000, 10_000_000, 30_000_000} {
		t.Error(got)
	}
	c.Redox.Offload.Enabled = true
	if got := limits(); got != [3]int64{50_000_000, 50_000_000, 30_000_000} {
		t.Error(got)
	}
}
