// Package redox is the HTTP side of the worker: it turns a message of the outbox into a
// request to Redox, and Redox's answer into a result.
//
// A [Client] delivers. Before anything is sent it guards the message: valid JSON, the size
// limit, the Meta fields Redox requires, a destination, Meta.Test and Meta.Source.ID
// against the configured source. It inserts a missing Meta.Source.ID without changing any
// other byte of the body, sends Redox-Source-Id and a bearer token, resends once with a
// new token after a 401, reads the answer within bounds and classifies it.
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
// by itself (a keep-alive connection that the other side had closed in the meantime).
//
// # Patient data
//
// No body, query string or token appears in an error, a log record or a metric. Of an
// answer, errors carry the status and those Errors[].Type and Module that look like
// identifiers, never Errors[].Text.
package redox
