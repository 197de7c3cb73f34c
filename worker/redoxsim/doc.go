// Package redoxsim is a strict simulator of the parts of Redox that a sender meets: the OAuth token endpoint, the legacy
// authentication calls and the Data Model endpoint. It is an [net/http.Handler], so it runs in a test server, inside a
// benchmark or as a process of its own.
//
// It is written from what Redox documents and from recorded traffic, and it imports no other package of this module: a
// client that misreads Redox fails here instead of being agreed with. Where Redox's documents are silent the simulator
// takes the stricter reading and the comment says so with the word "inferred".
//
// What it is strict about: the form and every claim of a client assertion (signature by kid, RS384 or ES384, iss = sub,
// aud, iat window, exp, one use per jti), five-minute tokens, 401 as text/html, the Source ID rules, required Meta
// fields, duplicate Meta members, destinations, body size, content types, POST only.
//
// Three more things make it useful as a witness:
//
//   - A record of each request, with its digest, token, order and overlap, in Go ([Server.Arrivals]) and over HTTP
//     (GET /_sim/arrivals).
//   - Faults: a hook ([Server.Fault]), rules ([Rule]), named profiles ([Profiles]) and scripts inside a message.
//   - Control while it runs: revoke tokens, withdraw keys, change faults, clear the record, over /_sim/ as well.
//
// A message may carry a top-level member "_sim", which Redox would ignore like any unknown member:
//
//	{"_sim": {"key": "m-17", "faults": "503, 401, ok"}, "Meta": {...}}
//
// Its key names the message in the record, and its faults apply one per attempt, in the syntax of [ParseFault].
//
// The contract tests of this package run against Redox itself when the environment holds the credentials of a
// development environment: REDOX_SANDBOX_CLIENT_ID, _KID, _KEY_FILE, _SOURCE_ID, _DESTINATION_ID and optionally _URL.
//
// The zero [Server] serves. It knows no keys until some are added, accepts every Source ID and destination until one
// is added, and limits no rate until [Server.Quota] is set.
package redoxsim
