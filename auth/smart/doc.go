// Package smart finds the token endpoint of a SMART server where its FHIR base says
// it is, at .well-known/smart-configuration, and asks there for tokens by package
// auth.
//
//	key, err := auth.ReadKeyFile("key.pem", "my-kid")
//	client, err := smart.New("https://fhir.example.org/r4", "client id", key, smart.Config{
//		OAuth: auth.OAuthConfig{Scope: "system/*.rs"},
//	})
//	cache, err := auth.NewCache(client, auth.CacheConfig{})
//
// What it finds is believed as far as that is safe: the token endpoint is https, at
// the host of the FHIR base or at one that was named, and takes signed assertions with
// the key's algorithm. It is kept for as long as the server says.
//
// It is not for Redox, whose host describes another server: [auth.NewOAuth] knows
// Redox's endpoint.
//
// The document is described in [SMART App Launch, conformance].
//
// [SMART App Launch, conformance]: https://hl7.org/fhir/smart-app-launch/conformance.html
package smart
