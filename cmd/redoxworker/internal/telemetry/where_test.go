package telemetry

import "testing"

// The log names the collector, and nothing that may be a secret.
func TestWhere_NamesNoSecret(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"":                       "this host",
		"http://collector:4318":  "http://collector:4318",
		"https://u:p@c.example/": "https://c.example/",
		"https://token@c.example/v1/traces?api_key=s3cret#x": "https://c.example/v1/traces",
		"localhost:4317": "localhost:4317",
	} {
		got := where(func(name string) string {
			if name == "OTEL_EXPORTER_OTLP_ENDPOINT" {
				return endpoint
			}
			return ""
		})
		if got != want {
			t.Errorf("%q: the log says %q, want %q", endpoint, got, want)
		}
	}
}
