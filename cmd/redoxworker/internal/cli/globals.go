package cli

// Globals are the flags of every subcommand, in groups that --help shows below the command's own.
// The NATS flags are those of the nats CLI.
type Globals struct {
	ConfigFile   string            `name:"config" short:"c" placeholder:"FILE" group:"Common flags:" help:"Configuration file ($$REDOXWORKER_CONFIG)."`
	Set          map[string]string `placeholder:"KEY=VALUE" mapsep:"none" group:"Common flags:" help:"Any other setting by its dotted key."`
	JSON         bool              `name:"json" group:"Common flags:" help:"Print data as JSON."`
	LogLevel     string            `name:"log-level" placeholder:"LEVEL" group:"Common flags:" help:"debug, info, warn or error."`
	LogFormat    string            `name:"log-format" placeholder:"FORMAT" group:"Common flags:" help:"auto, tint or json."`
	PrintVersion versionFlag       `name:"version" group:"Common flags:" help:"Print the version."`

	Server  string `short:"s" placeholder:"URL" group:"NATS flags:" help:"NATS server URLs, comma separated."`
	Creds   string `placeholder:"FILE" group:"NATS flags:" help:"NATS credentials file."`
	Nkey    string `placeholder:"FILE" group:"NATS flags:" help:"NATS NKEY seed file."`
	User    string `placeholder:"NAME" group:"NATS flags:" help:"NATS user name."`
	Context string `placeholder:"NAME" group:"NATS flags:" help:"Context of the nats CLI."`
	TLSCA   string `name:"tlsca" placeholder:"FILE" group:"NATS flags:" help:"CA of the NATS server."`
	TLSCert string `name:"tlscert" placeholder:"FILE" group:"NATS flags:" help:"Client certificate for NATS."`
	TLSKey  string `name:"tlskey" placeholder:"FILE" group:"NATS flags:" help:"Key of the client certificate."`
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
