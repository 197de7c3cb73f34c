// Package redoxsim is a strict simulator of the parts of Redox that a sender meets: the OAuth token endpoint, the legacy
// authentication calls, the Data Model endpoint, the FHIR API, the file store and the logs of the Platform API, all on one
// host. It is an [net/http.Handler], so it runs in a test server, inside a benchmark or as a process of its own.
//
// It is written from what Redox documents and from recorded traffic, and it shares no code with what it checks: a
// client that misreads Redox fails here instead of being agreed with. Where Redox's documents are silent the simulator
// takes the stricter reading and the comment says so with the word "inferred". Where recordings show Redox to take more
// than its documents allow, [Server.Lax] has the simulator take it too. Interactions of FHIR's RESTful API that Redox does
// not document, and a destination may have, such as an update or a search by GET, are answered as FHIR R4 says.
//
// What it is strict about: the form and every claim of a client assertion (signature by kid, RS384 or ES384, iss = sub,
// aud, iat window, exp, one use per jti), five-minute tokens, 401 as text/html, the Source ID rules, required Meta
// fields, duplicate members, destinations, body size, content types, verbs, the case of FHIR paths, message Bundles,
// multipart forms, who may refer to a file, and which API takes tokens of which level of key.
//
// What happens behind the answer is simulated too:
//
//   - [Quota] is a rolling limit per client, exact to the nanosecond; [Server.Windows] finds the fullest window of the
//     record, and [Server.RestartWindow] starts the count anew.
//   - [Load] makes answers slower, or refuses, by the number of requests in flight.
//   - A message taken has a [Log] for each destination. A destination that fails pauses its queue, in order, while Redox
//     accepts all the same: [Server.FailDestination], [Server.Deliver], [Server.SetLog].
//
// Three more things make it useful as a witness:
//
//   - A record of each request, with its digest, token, order and overlap, in Go ([Server.Arrivals]) and over HTTP
//     (GET /_sim/arrivals); of each file ([Server.Blobs]) and each log ([Server.Logs]).
//   - Faults: a hook ([Server.Fault]), rules ([Rule]), named profiles ([Profiles]) and scripts inside a message; also
//     what somebody on the way answers instead, such as the page of a sign-in ([Page]).
//   - Control while it runs: revoke tokens, withdraw keys, change faults, clear the record, in Go and over HTTP.
//
// # Control
//
// A running simulator is controlled in Go, by the methods of [Server], and over HTTP below [PathAdmin], by the same: an
// operation is a method of Server and a route that does nothing but call it. Arguments of a method are the query of the
// route, or its JSON body; what the method returns is the answer. The routes need no credentials, and are neither recorded
// nor counted: serve them on loopback only, or set [Server.NoAdmin].
//
//	GET  /_sim/arrivals?after=SEQ&limit=N&key=K&source=S&path=P   Arrivals: NDJSON of Arrival; header Sim-Next: after for the next page
//	GET  /_sim/stats                       Stats
//	GET  /_sim/windows?per=5s              Windows; per is that of the quota by default
//	GET  /_sim/quota                       QuotaInForce, QuotaUsed: {"quota","used"}
//	POST /_sim/quota                       SetQuota: {"limit":50,"per":"5s"}; {} for none
//	POST /_sim/quota/restart?client=IP     RestartWindow
//	GET  /_sim/load                        LoadInForce
//	POST /_sim/load                        SetLoad: {"base":"50ms","slots":8}; {} for none
//	GET  /_sim/blobs                       Blobs: uploaded files, a list of Blob
//	GET  /_sim/blobs/content?uri=URI       BlobContent, with Server.KeepBodies
//	GET  /_sim/logs?state=S&destination=D  Logs: a list of Log
//	POST /_sim/logs                        SetLog: {"id","state","attempts"}
//	POST /_sim/destinations/fail?id=ID     FailDestination: its queue pauses
//	POST /_sim/destinations/heal?id=ID     the same with false
//	GET  /_sim/fault                       Rules, Profiles: {"profile","rules","profiles"}
//	POST /_sim/fault                       SetProfile or SetRules: {"profile":"flaky"} or {"rules":[Rule,...]}
//	POST /_sim/revoke?owner=ID             RevokeTokens: {"revoked":n}
//	POST /_sim/reset                       Reset
//	POST /_sim/release                     Release
//	POST /_sim/keys?client_id=ID           AddJWKS, or with &url=URL AddJWKSURL; with &level=user keys as of AddUserKey
//	DELETE /_sim/keys?client_id=ID&kid=K   RemoveOAuthKey
//	POST /_sim/legacy                      AddLegacyKey: {"apiKey","secret"}
//	POST /_sim/sources                     AddSource
//	POST /_sim/destinations                AddDestination
//	POST /_sim/token?client_id=ID&ttl=5m   NewToken: {"access_token"}
//
// # Messages with a key and faults of their own
//
// A message, and the Bundle of a writeback, may carry a top-level member "_sim", which Redox would ignore like any
// unknown member:
//
//	{"_sim": {"key": "m-17", "faults": "503, 401, ok"}, "Meta": {...}}
//
// Its key names the message in the record, and its faults apply one per attempt, in the syntax of [ParseFault].
//
// The contract tests of this package run against Redox itself when the environment holds the credentials of a
// development environment: REDOX_SANDBOX_CLIENT_ID, _KID, _KEY_FILE, _SOURCE_ID, _DESTINATION_ID and optionally _URL,
// _BLOB_URL and _FHIR_SLUG.
//
// The zero [Server] serves. It knows no keys until some are added, accepts every Source ID, destination, slug and
// organization until one is added, delivers at once, and limits no rate until [Server.Quota] is set.
package redoxsim
