package auth

import "github.com/redoxworker/redoxworker/auth/secret"

// redacted is what every printed form of a secret shows.
const redacted = "[redacted]"

// Secret is a text that must not be seen: a client secret, a token. Every printed
// form of it is "[redacted]"; only its method Reveal shows the text.
type Secret = secret.Text

// NewSecret hides a text. An empty text makes an unset Secret.
func NewSecret(text string) Secret { return secret.New(text) }
