package bench

import (
	"bytes"
	"fmt"
	"strconv"
)

// sourceName is the name of a source of the benchmark.
func sourceName(n int) string { return "bench-" + strconv.Itoa(n) }

// sourceID is the Source ID in Redox of that source.
func sourceID(n int) string { return fmt.Sprintf("7ce6f387-c33c-417d-8682-%012d", n) }

// messageID names a message of one measurement.
func messageID(inbox string, n int) string { return inbox + "." + strconv.Itoa(n) }

// messageBody is a message of the given size in the shape of a real one: small values in
// nested objects, and no Source ID.
func messageBody(size int) []byte {
	const head = `{"Meta":{"DataModel":"PatientAdmin","EventType":"Arrival","EventDateTime":"2026-01-05T12:00:00.000Z","Test":true,` +
		`"Destinations":[{"ID":"af394f14-b34a-464f-8d24-895f370af4c9","Name":"Redox EMR"}]},"Patient":{"Identifiers":[`
	const item = `{"ID":"e167267c-16c9-4fe3-96ae-9cff5703e90a","IDType":"EHRID","Value":12.5,"Flag":null},`
	const tail, end = `{"ID":"0"}],"Notes":["`, `"]}}`
	body := []byte(head)
	for len(body)+len(item)+len(tail)+len(end) <= size {
		body = append(body, item...)
	}
	body = append(body, tail...)
	body = append(body, bytes.Repeat([]byte("x"), max(0, size-len(body)-len(end)))...)
	return append(body, end...)
}
