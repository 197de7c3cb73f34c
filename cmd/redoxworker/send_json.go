package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
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

// notUTF8 is where a text stops being UTF-8, which encoding/json does not mind and workers
// do; -1 if it does not.
func notUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	at := 0
	for {
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size <= 1 {
			return at
		}
		at += size
	}
}

// severalLines reports whether each line of a text that is no JSON is JSON by itself, as far
// as its first two tell.
func severalLines(text []byte) bool {
	first, rest, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	second, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte("\n"))
	return json.Valid(first) && json.Valid(second)
}
