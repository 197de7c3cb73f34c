package outbox

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redoxworker/redoxworker/outbox/contract"
	"github.com/redoxworker/redoxworker/outbox/internal/wire"
)

func TestOrderToken_Golden(t *testing.T) {
	t.Parallel()
	// echo -n patient-1 | openssl dgst -sha256 -hmac 0123456789abcdef | cut -c1-32 (after the label)
	got, err := OrderToken([]byte("0123456789abcdef"), "patient-1")
	if err != nil {
		t.Fatal(err)
	}
	if want := "74546042eef9a3d6e2622d4c8b139526"; got != want {
		t.Errorf("OrderToken = %q, want %q: what is stored would overtake what comes", got, want)
	}
	for _, file := range []string{"0123456789abcdef\n", "\t 0123456789abcdef \r\n\r\n", "\ufeff0123456789abcdef\n"} {
		if same, err := OrderToken([]byte(file), "patient-1"); err != nil || same != got {
			t.Errorf("secret file %q: %q, %v", file, same, err)
		}
	}
	other, err := OrderToken([]byte("0123456789abcdeF"), "patient-1")
	if err != nil || other == got {
		t.Errorf("another secret gives %q, %v", other, err)
	}
}

func TestOrderToken_Limits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, secret, key string
		ok                bool
	}{
		{"secret of 16", strings.Repeat("s", 16), "k", true},
		{"secret of 15", strings.Repeat("s", 15), "k", false},
		{"no secret", "", "k", false},
		{"secret of 15 in white space", " " + strings.Repeat("s", 15) + "\r\n", "k", false},
		{"no key", strings.Repeat("s", 16), "", false},
		{"a key of blanks", strings.Repeat("s", 16), " ", false},
		{"a key behind a blank", strings.Repeat("s", 16), " k", false},
		{"a key before a line's end", strings.Repeat("s", 16), "k\n", false},
	} {
		token, err := OrderToken([]byte(tt.secret), tt.key)
		if (err == nil) != tt.ok || tt.ok != wire.IsOrderToken(token) {
			t.Errorf("%s: %q, %v", tt.name, token, err)
		}
	}
	if _, err := OrderToken([]byte("topsecret"), "patient-1"); strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), "patient-1") {
		t.Errorf("error shows the secret or the key: %v", err)
	}
}

func TestNewID_FormAndOrder(t *testing.T) {
	t.Parallel()
	before := time.Now().UnixMilli()
	seen := make(map[string]bool)
	for range 2000 {
		id := NewID()
		if len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] || checkID(contract.HeaderMessageID, id, maxNewID) != nil {
			t.Fatalf("NewID = %q: not a fresh UUIDv7", id)
		}
		seen[id] = true
		ms, err := strconv.ParseInt(strings.ReplaceAll(id[:13], "-", ""), 16, 64)
		if err != nil || ms < before || ms > time.Now().UnixMilli() {
			t.Fatalf("NewID = %q holds the time %d, not now", id, ms)
		}
	}
}
