package main

import (
	"encoding/json"
	"errors"
	"fmt"
)

// checkJSON tells where a text stops being JSON, and quotes nothing of it: encoding/json's
// own errors show a byte of what may be patient data.
func checkJSON(text []byte) error {
	if json.Valid(text) {
		return nil
	}
	var syntax *json.SyntaxError
	var value json.RawMessage
	if errors.As(json.Unmarshal(text, &value), &syntax) {
		return fmt.Errorf("not JSON: it goes wrong at byte %d", syntax.Offset)
	}
	return errors.New("not JSON")
}
