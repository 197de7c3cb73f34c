package config

import (
	"strings"
	"testing"
)

func TestCheckServers(t *testing.T) {
	t.Parallel()
	f := field{key: "nats.url", kind: kindServers}
	for _, good := range []string{
		"127.0.0.1", "127.0.0.1:4222", "nats://127.0.0.1:4222", "localhost", "nats.example.com", "nats.example.com.:4222", "nats_1:4222", "tls://n:443",
		"ws://n:80,wss://m", "nats://a,nats://b:4222, c:1", "[::1]:4222", "nats://[fe80::1%25eth0]:4222", "nats://user:pa55@h:4222", "nats://token@h", "nats://h:4222/",
		"NATS://h", "nats://u:p%2C%3B@h", "1.nats.svc", "münchen.example",
	} {
		if fault := f.checkServers(good); fault != nil {
			t.Errorf("%q %s", good, fault.text)
		}
	}
	for _, bad := range []string{
		"127.0.0.1;25222", "nats://127.0.0.1;25222", "127.0.0.1.25222", "127.0.0.1,25222", "127.0.0.256", "127.0.0", "127.0.0.1 25222", "127.0.0.1: 4222", "127.0.0.1 :4222",
		"a b", "nats://a nats://b", "nats://a;nats://b", "a|b", "a:4222;b:4222", "nats://a, ", "nats://a,,nats://b", ",nats://a", "nats://", ":4222", "h:", "h:0", "h:65536", "h:-1", "h:port",
		"::1", "::1:4222", "nats://::1", "[::1", "[::1]x:4222", "[zz]:4222", "http://h", "https://h:4222", "nat://h", "nats:/h", "nats//h", "mqtt://h:1883", "//h",
		"nats://h/path", "nats://h?x=1", "nats://h#f", "ws://a,nats://b", "-h", "h-", "h..x", ".h", "*", "h*", "$HOST", "${HOST}:4222", "nats://user:pa55@", "user:pa55@h;4222",
		strings.Repeat("a", 64) + ":1", "redis\t:1",
	} {
		fault := f.checkServers(bad)
		if fault == nil {
			t.Errorf("%q passes", bad)
		} else if strings.Contains(fault.text, "pa55") {
			t.Errorf("%q shows its password: %s", bad, fault.text)
		}
	}
}

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		":0": true, "127.0.0.1:8466": true, "[::1]:80": true, "localhost:1": true, "[fe80::1%eth0]:80": true,
		"127.0.0.1;8466": false, "127.0.0.1;x:8466": false, "127.0.0.300:80": false, "*:80": false, "a b:80": false, "::1:80": false, "h:http": false, "http://h:80": false, "h:80/x": false, "8466": false,
	} {
		if checkListen(text) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func TestCheckURL_HostsThatCannotBe(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"https://api.redoxengine.com;443", "https://a,b", "https://127.0.0.256", "https://a..b", "https://a_b!c", "https://::1"} {
		if (field{kind: kindURL}).checkURL(text) == nil || (field{kind: kindProxy}).checkURL(text) == nil {
			t.Errorf("%q passes", text)
		}
	}
}
