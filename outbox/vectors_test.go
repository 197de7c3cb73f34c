package outbox_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// vectors is testdata/vectors.json, which clients in any language check themselves by.
type vectors struct {
	OrderTokens []struct{ Secret, Key, Token string } `json:"order_tokens"`
	NatsMsgIDs  []struct {
		Secret, Source string
		MessageID      string `json:"message_id"`
		NatsMsgID      string `json:"nats_msg_id"`
	} `json:"nats_msg_ids"`
	DeadLetterTokens []struct {
		MessageID       string `json:"message_id"`
		Sequence, Token string
	} `json:"dead_letter_tokens"`
	Refused struct {
		OrderSecrets []string `json:"order_secrets"`
		OrderKeys    []string `json:"order_keys"`
	}
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "testdata/vectors.json")), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// quoted is a JSON string as the tables of CONTRACT.md have it.
func quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string is encoded always
	return "`" + strings.TrimSuffix(b.String(), "\n") + "`"
}

// The file has what the tables of the contract have, which the code is compared with, and what is
// refused.
func TestVectors_AreThoseOfTheContract(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	var tokens, ids, dead []string
	for _, r := range v.OrderTokens {
		tokens = append(tokens, fmt.Sprintf("%s | %s | `%s`", quoted(r.Secret), quoted(r.Key), r.Token))
	}
	for _, r := range v.NatsMsgIDs {
		ids = append(ids, fmt.Sprintf("%s | `%s` | `%s` | `%s`", quoted(r.Secret), r.Source, r.MessageID, r.NatsMsgID))
	}
	for _, r := range v.DeadLetterTokens {
		dead = append(dead, fmt.Sprintf("`%s` | `%s` | `%s`", r.MessageID, r.Sequence, r.Token))
		if n, err := strconv.ParseUint(r.Sequence, 10, 64); err != nil || contract.Prefix("").DeadToken(r.MessageID, n) != r.Token {
			t.Errorf("dead letter %s at %s: %s, %v", r.MessageID, r.Sequence, contract.Prefix("").DeadToken(r.MessageID, n), err)
		}
	}
	for heading, want := range map[string][]string{"Order": tokens, "Ids": ids, "Dead letters": dead} {
		var have []string
		for _, row := range rows(section(t, heading)) {
			if len(row) > 2 {
				have = append(have, strings.Join(row, " | "))
			}
		}
		if got, want := strings.Join(have, "\n"), strings.Join(want, "\n"); got != want {
			t.Errorf("%s: CONTRACT.md has\n%s\nvectors.json\n%s", heading, got, want)
		}
	}
	for _, secret := range v.Refused.OrderSecrets {
		if token, err := outbox.OrderToken([]byte(secret), "MRN 1"); err == nil {
			t.Errorf("secret %q makes %s", secret, token)
		}
	}
	for _, key := range v.Refused.OrderKeys {
		if token, err := outbox.OrderToken([]byte("0123456789abcdef"), key); err == nil {
			t.Errorf("key %q makes %s", key, token)
		}
	}
}
