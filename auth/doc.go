// Package auth obtains and keeps access tokens for Redox, and for any other
// server that takes signed client assertions: SMART Backend Services, or OAuth
// 2.0 with private_key_jwt.
//
//	key, err := auth.ReadKeyFile("key.pem", "my-kid")
//	oauth, err := auth.NewOAuth("client id", key, auth.OAuthConfig{})
//	cache, err := auth.NewCache(oauth, auth.CacheConfig{})
//	transport, err := auth.NewTransport(cache, "https://api.redoxengine.com", auth.TransportConfig{})
//	client := &http.Client{Transport: transport} // sends and renews the token
//
// # Three kinds of credentials
//
// An OAuth API key of Redox is a client id, a private key, and the id under which Redox knows its
// public half. [OAuth] signs a new assertion for each request (RS384 or ES384; iss and sub are the
// client id, aud is the token endpoint) and exchanges it for a token that lasts five minutes. Two
// keys may overlap ([OAuthConfig]): when the endpoint refuses one, the other is tried at once. The
// assertion's dates allow for a clock that is minutes off.
//
// A legacy API key is a key and a secret. [Legacy] gets a token that lasts 24
// hours, refreshes it, and authenticates anew when a refresh is refused. It is
// not for Redox's FHIR API.
//
// A user-level key is an OAuth key as well, made for the Platform API: use
// [OAuth].
//
// # Other servers
//
// For another server set TokenURL and Scope of [OAuthConfig], or let the subpackage
// smart find the token endpoint of one that describes itself. Redox's is never
// discovered: what its host publishes describes another server.
//
// [OAuthConfig] also sets the [Algorithm], if it is not RS384 or ES384, and what else a
// server wants: Audience, Params of the form, Claims of the assertion. [Scopes] keeps
// tokens for each set of scopes that requests need.
//
// # The parts
//
//   - [Key] is a signing key, RSA or EC: read from PEM or JWK, or made of a [Signer]
//     whose private key is elsewhere: in a cloud's key management, a module, an agent.
//   - [OAuth] and [Legacy] ask for one token. Both are a [Minter].
//   - [Cache] keeps tokens of one Minter ready: one request for any number of
//     callers, renewal ahead of the end, the old token while the endpoint is
//     down, compare-and-drop when the far side refuses a token. Close ends it.
//   - [Transport] gives any [net/http.Client] the Cache's credentials, for one
//     origin. After a 401 it sends a request again with a new token, once, if the
//     body can be read again.
//
// Around them: [NewJWKSHandler] publishes the public halves, and [TokenError] turns
// what the endpoint answers into the mend. The subpackage filewatch notices changed
// key and secret files (Kubernetes mounts too), prom counts for Prometheus by the hook
// [Metrics], xoauth2 serves users of golang.org/x/oauth2, and secret has the type
// behind [Secret]. In auth/conformance two servers that are not part of this project
// judge the assertions, of each algorithm by each kind of key.
//
// # What it keeps to
//
// Secrets, tokens and private keys print as "[redacted]" through every fmt
// verb, JSON, YAML, text and slog, and no error of this package carries one.
//
// The package starts goroutines in two places only: for the one request under way that waiting
// callers share, which [CacheConfig.MintTimeout] bounds and [Cache.Close] joins, and for a call of
// a [Signer], of which [OAuthConfig.SignTimeout] bounds the wait. CloseIdleConnections closes idle
// connections.
//
// It links no client of Prometheus and nothing of NATS.
//
// # References
//
//   - client assertions: [RFC 7523]; their JWT and keys: [RFC 7519], [RFC 7517]
//   - [SMART Backend Services] and its asymmetric client authentication
//   - Redox: [OAuth API keys], [legacy API keys], [user-level API keys]
//
// [RFC 7523]: https://www.rfc-editor.org/rfc/rfc7523
// [RFC 7519]: https://www.rfc-editor.org/rfc/rfc7519
// [RFC 7517]: https://www.rfc-editor.org/rfc/rfc7517
// [SMART Backend Services]: https://hl7.org/fhir/smart-app-launch/backend-services.html
// [OAuth API keys]: https://docs.redoxengine.com/how-to-use-redox/send-and-manage-requests/authenticate-an-oauth-api-key/
// [legacy API keys]: https://docs.redoxengine.com/how-to-use-redox/send-and-manage-requests/authenticate-a-legacy-api-key/
// [user-level API keys]: https://docs.redoxengine.com/api-reference/platform-api-reference/authenticate-a-user-level-api-key/
package auth
