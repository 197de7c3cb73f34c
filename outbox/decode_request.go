package outbox

import (
	"github.com/nats-io/nats.go"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// requestHeaders are the headers that a caller may set. Nats-* headers are instructions to the
// stream and are dropped, as are headers that are not of the contract.
var requestHeaders = [...]string{contract.HeaderID, contract.HeaderMessageID, contract.HeaderKind, contract.HeaderMethod, contract.HeaderPath, contract.HeaderContentType, contract.HeaderAccept,
	contract.HeaderReplyTo, contract.HeaderOrderToken, contract.HeaderDeadline}

// DecodeRequest reads a request that came to [contract.Prefix.GatewaySubject] of a source and lane, as the
// message to be stored. It reads the headers of the contract and Redox-Order-Key, which becomes the
// OrderKey. In the lane of requests the reply goes to its reply subject. A request without an id
// gets one. Which reply subjects are allowed is decided by [ReplyPolicy.Check].
//
// An error is a *[ContractError]. The Message beside it has the ID, as far as it is known.
func DecodeRequest(p contract.Prefix, source string, l contract.Lane, in *nats.Msg) (Message, error) {
	h := make(nats.Header, len(in.Header))
	for _, name := range requestHeaders {
		if values := in.Header[name]; len(values) > 0 {
			h[name] = values
		}
	}
	for name, values := range in.Header {
		if isRequestHeader(name) {
			h[name] = values
		}
	}
	subject := p.SendSubject(source)
	if l == contract.LaneRequest {
		subject = p.RequestSubject(source)
		if in.Reply != "" {
			h[contract.HeaderReplyTo] = []string{in.Reply} // the caller's own inbox wins
		}
	}
	m, err := decode(p, Stored{Subject: subject, Header: h, Body: in.Data}, throughGateway)
	if err == nil {
		err = throughGateway.check(in.Header)
	}
	if err != nil {
		return m, err
	}
	m.TraceParent, m.TraceState = traceContext(in.Header)
	if len(h[contract.HeaderID])+len(h[contract.HeaderMessageID]) == 0 {
		m.ID = NewID()
	}
	keys := decoder{h: in.Header}
	m.OrderKey = keys.get(contract.HeaderOrderKey)
	return m, keys.err
}
