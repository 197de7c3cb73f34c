package cli

import "testing"

func TestReachable(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{"127.0.0.1:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80",
		":80": "127.0.0.1:80", "[::1]:80": "[::1]:80", "localhost:80": "localhost:80", "nonsense": "nonsense"} {
		if got := Reachable(listen); got != want {
			t.Errorf("%s: %s", listen, got)
		}
	}
}
