// Package conformance holds tests only: it proves the assertions of package auth, of
// each algorithm, by a key in a file and by one that is elsewhere, against rules and
// servers that nobody here wrote. They are SMART Backend Services' rules as a table,
// ory/fosite over HTTP, and npm's oidc-provider, which needs Node.js and, once,
//
//	npm ci --prefix testdata/oidc-provider
//
// It is a module of its own, so that no user of package auth downloads fosite.
package conformance
