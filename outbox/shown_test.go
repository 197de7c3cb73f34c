package outbox

import (
	"encoding/json"
	"strings"
	"testing"
)

// A Message as JSON is for a log: nobody must take it for a way to store one.
func TestMessage_IsNotReadFromItsJSON(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(Message{ID: "m-1", Source: "clinic-a", Path: "Patient?name=SECRET", Body: []byte("SECRET")})
	if want := `{"id":"m-1","source":"clinic-a","path_bytes":19,"body_bytes":6}`; err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
	var m Message
	if err := json.Unmarshal(text, &m); err == nil || !strings.Contains(err.Error(), "Decode") {
		t.Errorf("%v, %v", m, err)
	}
}
