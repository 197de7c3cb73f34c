package config

// ConsoleNATS is a connection of the console's own, with the rights of the user console in deploy/nats. What
// is not set is as the section nats has it; a way to log in takes the place of that of nats, and of its
// inboxes.
type ConsoleNATS struct {
	URL          URL    `key:"url" kind:"servers" doc:"servers of the console's connection, separated by commas; empty means those of nats"`
	Creds        Secret `key:"creds" doc:"text of the console's NATS credentials file"`
	CredsFile    string `key:"creds_file" kind:"secret file" doc:"the console's NATS credentials file (JWT and seed)"`
	NKey         Secret `key:"nkey" doc:"NKey seed of the console"`
	NKeyFile     string `key:"nkey_file" kind:"secret file" doc:"file with the NKey seed of the console"`
	User         string `key:"user" doc:"user name of the console, with console.nats.password; a worker's has too few rights"`
	Password     Secret `key:"password" doc:"password of console.nats.user"`
	PasswordFile string `key:"password_file" kind:"secret file" doc:"file with the password of console.nats.user"`
	Token        Secret `key:"token" doc:"NATS authentication token of the console"`
	TokenFile    string `key:"token_file" kind:"secret file" doc:"file with the NATS authentication token of the console"`
	InboxPrefix  string `key:"inbox_prefix" doc:"prefix of the console's reply inboxes; empty means _INBOX where the console logs in by itself"`
	TLS          TLS    `key:"tls"`
}

// logsIn reports whether a way to log in is set.
func (n ConsoleNATS) logsIn() bool {
	return n.Creds.IsSet() || n.NKey.IsSet() || n.User != "" || n.Token.IsSet()
}

// HasOwnNATS reports whether the console has a way of its own to log in to NATS.
func (c *Config) HasOwnNATS() bool { return c.Console.NATS.logsIn() }

// ForConsole returns a copy whose section nats is that of the console's connection.
func (c *Config) ForConsole() *Config {
	own, of := c.Console.NATS, *c
	n := &of.NATS
	if own.URL.String() != "" {
		n.URL, n.Context = own.URL, ""
	}
	if own.logsIn() {
		n.Creds, n.NKey, n.User, n.Password, n.Token, n.InboxPrefix = own.Creds, own.NKey, own.User, own.Password, own.Token, ""
		n.CredsFile, n.NKeyFile, n.PasswordFile, n.TokenFile = own.CredsFile, own.NKeyFile, own.PasswordFile, own.TokenFile
	}
	if own.InboxPrefix != "" {
		n.InboxPrefix = own.InboxPrefix
	}
	if own.TLS.CAFile != "" {
		n.TLS.CAFile = own.TLS.CAFile
	}
	if own.TLS.CertFile != "" {
		n.TLS.CertFile, n.TLS.KeyFile = own.TLS.CertFile, own.TLS.KeyFile
	}
	return &of
}

// checkConsoleNATS finds a login that would go to servers which a context of the nats CLI names, with what
// that logs in with besides.
func (l *loader) checkConsoleNATS(n *NATS, own *ConsoleNATS) {
	if n.Context != "" && own.logsIn() && !l.isSet(consoleNATS+".url") {
		l.problem(consoleNATS+".url", "is missing, and nats.context has servers and credentials of its own", "set it to the servers, or take nats.context away")
	}
}

// consoleNATS is the section of the console's connection.
const consoleNATS = "console.nats"
