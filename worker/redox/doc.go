// Package redox is the HTTP side of the worker: it turns a message of the outbox into a
// request to Redox, and Redox's answer into a result.
//
// A [Client] delivers. Before anything is sent it guards the message: valid JSON, the size
// limit, the Meta fields Redox requires, a destination, Meta.Test and Meta.Source.ID
// against the configured source. It inserts a missing Meta.Source.ID without changing any
// other byte of the body, sends Redox-Source-Id and a bearer token, resends once with a
// new token after a 401, reads the answer within bounds and classifies it.
//
// # Kinds
//
// A data-model message is posted to /endpoint. With [Offload], large files inside it, and in the
// attachments of a fhir message, are uploaded first and give way to their URI.
//
// A fhir message brings method and path, which goes below /fhir/R4/ and begins with the
// destination's slug and the environment, which must be the source's. A link of an answer, such as
// that of the next page of a search, is taken as it stands if it leads there; the request goes to
// [Config.BaseURL] whatever it says. In a message Bundle posted to an operation the Source ID is
// put into MessageHeader.source.endpoint where that is missing, as into Meta, and one of another
// source is refused. Bodies and answers are application/fhir+json unless the message says
// otherwise, a POST to _search is a form, a patch that is a list of changes says so. An OperationOutcome
// with an error counts as an error in any answer, also inside a Bundle, and so do issues in
// Redox's own words and a MessageHeader whose response is an error.
//
// A file is uploaded to the file store as a form of one field; the answer names its URI. It
// is called "file" and an extension after its media type, never by a name of its own.
//
// A platform message brings method and path below /platform/ and goes out with a
// user-level key, which is for this kind only.
//
// A message of any kind may set HTTP headers of its request, those that [Config.Headers]
// allows and no others. Of the answer's, those that say more than its body come back.
//
// The lane alone decides whether a message is a SEND or a REQUEST, whatever its kind and
// method: a write in the lane of REQUESTs is repeated until its deadline, as a read is.
//
// # Answers of others
//
// Something in front of Redox may answer as well: a sign-in page, a firewall, another server at a wrong address. A
// page of HTML with 3xx, 403, 404, 405 or 407 refuses nothing: the message is tried again. A 2xx that Redox cannot
// have sent leaves the outcome of a SEND unknown. Unless [StrictOff] says that this is how the far side answers, both
// are [ClassForeign], count as trouble of the host, and are logged as a warning.
//
// # Errors
//
// A nil error means that Redox took the message. Otherwise the error is an [*Error] whose
// methods (Permanent, Poison, Attempted, UnknownOutcome and so on) say what to do next;
// the worker reads them structurally, so neither package imports the other.
//
// # What was written
//
// Redox has no idempotency key, so a request is never sent twice without a decision: the
// bodies of requests cannot be rewound by net/http, connections made by [NewTransport]
// count what they write, and only a request of which nothing was written goes out again
// by itself (a keep-alive connection that the other side had closed in the meantime, or that
// was past its time). Over TLS 1.3 a request may be written before the server has judged the
// client's certificate: an alert about a handshake that is the first thing to come over a new
// connection says that nobody has read the request. One that comes after an answer, on a
// connection in use, or that may be about something else leaves the outcome unknown.
//
// # Patient data
//
// No body, path, query string or token appears in an error, a log record or a metric. Of an
// answer, errors carry the status and those Errors[].Type and Module that look like
// identifiers, never Errors[].Text.
//
// What net/http finds on an idle connection, such as the rest of an answer that was longer
// than it said, it quotes in the standard logger of package log, and nothing here can keep it
// from that: a program that embeds a Client should silence it, with log.SetOutput(io.Discard).
package redox
