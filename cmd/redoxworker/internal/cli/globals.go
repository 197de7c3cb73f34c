package cli

// Globals are the flags of every subcommand. The NATS flags are those of the nats CLI.
type Globals struct {
	ConfigFile string            `name:"config" short:"c" placeholder:"FILE" help:"Configuration file ($$REDOXWORKER_CONFIG)."`
	Server     string            `short:"s" placeholder:"URL" help:"NATS server URLs, comma separated."`
	Creds      string            `placeholder:"FILE" help:"NATS credentials file."`
	Nkey       string            `placeholder:"FILE" help:"NATS NKEY seed file."`
	User       string            `placeholder:"NAME" help:"NATS user name."`
	Context    string            `placeholder:"NAME" help:"Context of the nats CLI."`
	TLSCA      string            `name:"tlsca" placeholder:"FILE" help:"CA of the NATS server."`
	TLSCert    string            `name:"tlscert" placeholder:"FILE" help:"Client certificate for NATS."`
	TLSKey     string            `name:"tlskey" placeholder:"FILE" help:"Key of the client certificate."`
	LogLevel   string            `name:"log-level" placeholder:"LEVEL" help:"debug, info, warn or error."`
	LogFormat  string            `name:"log-format" placeholder:"FORMAT" help:"auto, tint or json."`
	Set        map[string]string `placeholder:"KEY=VALUE" mapsep:"none" help:"Any other setting by its dotted key."`
	JSON       bool              `name:"json" help:"Print data as JSON."`
}

// common serves Grammar.
func (g *Globals) common() *Globals { return g }

// Settings are the flags as configuration keys; those not given are left out.
func (g Globals) Settings() map[string]any {
	flags := map[string]any{}
	for key, value := range g.Set {
		flags[key] = value
	}
	for key, value := range map[string]string{
		"nats.url": g.Server, "nats.creds_file": g.Creds, "nats.nkey_file": g.Nkey, "nats.user": g.User, "nats.context": g.Context,
		"nats.tls.ca_file": g.TLSCA, "nats.tls.cert_file": g.TLSCert, "nats.tls.key_file": g.TLSKey,
		"log.level": g.LogLevel, "log.format": g.LogFormat,
	} {
		if value != "" {
			flags[key] = value
		}
	}
	return flags
}
