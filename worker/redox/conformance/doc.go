// Package conformance sends FHIR messages through the real command to a FHIR server that nobody
// here wrote: npm's @asymmetrik/node-fhir-server-core, which takes the tokens of npm's
// oidc-provider. It is a module of its own, since it needs Node.js and packages that
// `go test ./...` does not: .ci/run installs them (npm ci --prefix testdata/fhir-server).
package conformance
