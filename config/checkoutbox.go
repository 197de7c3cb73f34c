package config

import "regexp"

var tablePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

func (l *loader) checkOutbox(c *Config) {
	o := c.Outbox
	if !tablePattern.MatchString(o.Table) && !l.failed["outbox.table"] {
		l.problem("outbox.table", shown(o.Table)+" is no name of a table", "use 1 to 40 of a-z, 0-9 and _, a letter first")
	}
	if o.Driver != "" && o.DSN.Reveal() == "" && !l.failed["outbox.driver"] && !l.failed["outbox.dsn"] && !l.failed["outbox.dsn_file"] {
		l.problem("outbox.dsn_file", "is missing, and outbox.driver needs it", "name a file that says where the database is, or leave outbox.driver out")
	}
	if o.Notify && o.Driver != "" && o.Driver != DriverPostgres && !l.failed["outbox.notify"] {
		l.problem("outbox.notify", "is true, and a database of kind "+o.Driver+" tells nobody of new rows", "leave outbox.notify out, or set outbox.driver to postgres")
	}
}
