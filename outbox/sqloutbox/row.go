package sqloutbox

import (
	"bytes"
	"maps"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/contract"
)

// row is one message in the table.
type row struct {
	seq     int64
	id      string
	source  string
	token   string // "" without an order
	request int    // 1 for a REQUEST
	sealed  int    // 1 for a sealed message
	message []byte // see pack; nil while it is only in the table
	bytes   int64  // of the message in the table
}

func (r *row) size() int { return len(r.message) }

// order tells the rows apart that wait for each other; "" for a row that waits for none.
func (r *row) order() string {
	if r.token == "" {
		return ""
	}
	return r.source + " " + r.token
}

const headLine = "NATS/1.0\r\n"

// pack makes one text of headers and body: the header block of the NATS protocol, which ends in
// an empty line, and the body. The ids have a column.
func pack(h nats.Header, body []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(body) + 256)
	b.WriteString(headLine)
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name == contract.HeaderID || name == contract.HeaderMessageID {
			continue
		}
		for _, value := range h[name] {
			b.WriteString(name + ": " + value + "\r\n")
		}
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// unpack reads the message of a row, as a worker will read it. An error is a
// *outbox.ContractError: it can never be published.
func (r *row) unpack(p contract.Prefix) (outbox.Message, error) {
	head, body, found := bytes.Cut(r.message, []byte("\r\n\r\n"))
	if !found {
		return outbox.Message{}, &outbox.ContractError{Part: "message", Reason: "of the row has no header block that begins with NATS/1.0 and ends in an empty line"}
	}
	h, err := nats.DecodeHeadersMsg(slices.Concat(head, []byte("\r\n\r\n")))
	if err != nil {
		return outbox.Message{}, &outbox.ContractError{Part: "message", Reason: "of the row has a header block that is none of NATS"}
	}
	delete(h, contract.HeaderID)
	h[contract.HeaderMessageID] = []string{r.id}
	m, err := outbox.Decode(p, outbox.Stored{Subject: r.subject(p), Header: h, Body: body})
	m.Method = h.Get(contract.HeaderMethod) // not the default, which a worker finds by itself
	if err == nil && m.Sealed() != (r.sealed != 0) {
		err = &outbox.ContractError{Part: "message", Reason: "of the row is sealed, and its column says that it is not, or the other way round"}
	}
	return m, err
}

// subject is where the row is published.
func (r *row) subject(p contract.Prefix) string {
	switch {
	case r.request != 0:
		return p.RequestSubject(r.source)
	case r.token != "":
		return p.OrderedSubject(r.source, r.token)
	}
	return p.SendSubject(r.source)
}
