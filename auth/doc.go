// Package auth obtains and keeps access tokens for Redox, and for any other
// server that speaks SMART Backend Services (RFC 7523 client assertions).
//
// The parts, from the bottom up:
//
//   - [Key] is a private signing key, read from PEM or JWK, RSA or EC P-384.
//   - [OAuth] and [Legacy] are the two ways of asking Redox for one token.
//     Both are a [Minter].
//   - [Cache] keeps tokens of one Minter ready: one request for any number of
//     callers, renewal ahead of the end, the old token while the endpoint is
//     down, compare-and-drop when the far side refuses a token.
//   - [Transport] gives any [net/http.Client] the Cache's credentials.
//
// Around them: [NewJWKSHandler] publishes the public halves, [Watcher] notices
// changed key and secret files (Kubernetes mounts too), and [TokenError] turns
// what Redox answers into the mend. The subpackage xoauth2 serves users of
// golang.org/x/oauth2, and the subpackage secret has the type behind [Secret].
//
// Secrets, tokens and private keys print as "[redacted]" through every fmt
// verb, JSON, YAML, text and slog, and no error of this package carries one.
//
// The package starts goroutines in two places only: [Cache.Run], which joins
// what it started before it returns, and the one request under way that waiting
// callers share, which [CacheConfig.MintTimeout] bounds.
package auth
