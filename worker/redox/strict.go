package redox

// StrictAnswers says what is made of an answer that Redox cannot have sent, such as the page of a
// sign-in, or the answer of whoever else listens at Config.BaseURL.
type StrictAnswers string

// The values of [Config.StrictAnswers].
const (
	// StrictAuto means StrictOn, but for answers without a Meta where EndpointPath is not
	// Redox's own: then an integration engine takes the messages, and answers as it likes.
	StrictAuto StrictAnswers = "auto"
	// StrictOn: an answer to a data-model message that is no JSON object with a Meta, and a page
	// of HTML to a message of any kind that did not ask for one, leave the outcome of a SEND
	// unknown, and are no answer to a REQUEST. A page of HTML with 3xx, 403, 404, 405 or 407 refuses
	// nothing: the message is tried again. They all count as trouble of the host.
	StrictOn StrictAnswers = "on"
	// StrictOff: every 2xx delivers, and [outbox.Answer] has a Flag; a page of HTML with any other
	// status is what Redox would have sent.
	StrictOff StrictAnswers = "off"
)

func (s StrictAnswers) known() bool { return s == StrictAuto || s == StrictOn || s == StrictOff }

// defaultEndpoint is the path of Redox's Data Model API.
const defaultEndpoint = "/endpoint"

// strictMeta reports whether an answer to a data-model message has to have a Meta.
func (c *Config) strictMeta() bool {
	return c.StrictAnswers == StrictOn || c.StrictAnswers == StrictAuto && c.EndpointPath == defaultEndpoint
}
