package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/redoxworker/redoxworker/auth/secret"
)

// check looks at what one value cannot say for itself: what is missing, and what
// does not go together. A key whose value could not be read is left alone.
func (l *loader) check(c *Config) {
	l.checkNATS(&c.NATS)
	l.checkRedox(&c.Redox)
	l.checkKeys(c)
	l.checkSources(c)
	l.checkOrder(&c.Order)
	l.checkWorker(c)
	l.checkReply(c)
	l.checkReconcile(c)
	l.checkOutbox(c)
	l.checkConsole(&c.Console)
	own := &c.Console.NATS
	l.checkConnection(consoleNATS, own.InboxPrefix, own.Creds, own.NKey)
	l.checkConsoleNATS(&c.NATS, own)
}

func (l *loader) checkNATS(n *NATS) {
	if !l.failed["nats.prefix"] && !prefixPattern.MatchString(n.Prefix) {
		l.problem("nats.prefix", shown(n.Prefix)+" is not a prefix", "use 1 to 32 of a-z, 0-9 and -")
	}
	l.checkConnection("nats", n.InboxPrefix, n.Creds, n.NKey)
	for _, f := range fields {
		if f.kind == kindSecretFile && f.section() == "" {
			l.checkTwice(f.key)
		}
	}
}

// checkConnection looks at a section that says how to connect to NATS.
func (l *loader) checkConnection(section, inbox string, creds, nkey Secret) {
	if inbox != "" && (checkSubject(inbox) != nil || strings.ContainsAny(inbox, "*>")) {
		l.problem(section+".inbox_prefix", shown(inbox)+" is not a subject", "use tokens with dots between them, without wildcards")
	}
	l.checkLogins(section)
	l.checkPair(section+".user", section+".password")
	l.checkPair(section+".tls.cert_file", section+".tls.key_file")
	// The JWT of a credentials file, the prefixes of a seed: github.com/nats-io/jwt, nkeys.
	if creds.IsSet() && !strings.Contains(creds.Reveal(), "-----BEGIN NATS USER JWT-----") {
		l.problem(l.given(section+".creds"), "is not the text of a NATS credentials file", "give the file that nsc generate creds wrote; a path belongs in "+section+".creds_file")
	}
	if seed := nkey.Reveal(); seed != "" && !strings.Contains(seed, "SU") {
		l.problem(l.given(section+".nkey"), "is not the seed of a user", "give a seed that begins with SU; a path belongs in "+section+".nkey_file")
	}
}

// checkLogins finds two ways to log in to NATS in a section.
func (l *loader) checkLogins(section string) {
	if used := l.logins(section); len(used) > 1 {
		l.problem(used[1], "is a second way to log in besides "+used[0], "keep one of "+strings.Join(used, ", "))
	}
}

// logins are the ways to log in to NATS that a section sets, each by one of its keys.
func (l *loader) logins(section string) (used []string) {
	for _, login := range natsLogins {
		for _, key := range login {
			if key = section + "." + key; l.isSet(key) {
				used = append(used, key)
				break
			}
		}
	}
	return used
}

// checkTwice finds a secret given by value and by file in one place.
func (l *loader) checkTwice(fileKey string) {
	key := strings.TrimSuffix(fileKey, "_file")
	if l.isSet(key) && l.isSet(fileKey) {
		l.problem(key, "is given by value and by file", "keep "+key+" or "+fileKey)
	}
}

// checkPair finds one of two keys that only serve together.
func (l *loader) checkPair(one, other string) {
	switch has, hasOther := l.isGiven(one), l.isGiven(other); {
	case has && !hasOther:
		l.problem(one, "is set without "+other, "set both or none")
	case hasOther && !has:
		l.problem(l.given(other), "is set without "+one, "set both or none")
	}
}

// isSet reports whether a layer sets a key to something.
func (l *loader) isSet(key string) bool {
	value := l.merged[key]
	text, ok := value.(string)
	return value != nil && (!ok || text != "")
}

// isGiven reports whether a key is set, by value or by file.
func (l *loader) isGiven(key string) bool { return l.isSet(key) || l.isSet(key+"_file") }

// given returns the key that a secret was given by: itself, or its _file.
func (l *loader) given(key string) string {
	if !l.isSet(key) && l.isSet(key+"_file") {
		return key + "_file"
	}
	return key
}

// headerPattern is a name of an HTTP header in which * may stand for letters. Package outbox knows
// which of them no message may set.
var headerPattern = regexp.MustCompile(`^[A-Za-z0-9*-]{1,64}$`)

func (l *loader) checkRedox(r *Redox) {
	l.checkPair("redox.client_cert_file", "redox.client_key_file")
	if path := r.EndpointPath; !isPath(path) {
		l.problem("redox.endpoint_path", shown(path)+" is not a path below base_url", "write a path such as /endpoint")
	}
	if path := r.FHIRPath; !isPath(path) {
		l.problem("redox.fhir_path", shown(path)+" is not a path below base_url", "write a path such as /fhir/R4/")
	}
	for _, name := range r.Headers {
		if !headerPattern.MatchString(name) {
			l.problem("redox.headers", shown(name)+" is not the name of a header", "write names such as Prefer, or X-* for all that begin so")
		}
	}
}

// isPath reports whether s is a path that stays below the base it is joined to.
func isPath(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") && !strings.ContainsAny(s, "?#\\ %") && !slices.Contains(strings.Split(s, "/"), "..")
}

// minOrderSecret is the length that package outbox demands, in bytes: whoever guesses the secret
// finds the order keys behind the tokens.
const minOrderSecret = 16

func (l *loader) checkOrder(o *Order) {
	if n := len(secret.Content([]byte(o.Secret.Reveal()))); o.Secret.IsSet() && n < minOrderSecret && !(l.isSet("order.secret") && l.isSet("order.secret_file")) {
		l.problem(l.given("order.secret"), fmt.Sprintf("has %d bytes", n), fmt.Sprintf("give at least %d random ones", minOrderSecret))
	}
}

func (l *loader) checkWorker(c *Config) {
	retry := c.Worker.Retry
	if retry.Initial > retry.Max && !l.failed["worker.retry.initial"] && !l.failed["worker.retry.max"] {
		l.problem("worker.retry.initial", fmt.Sprintf("%s is longer than worker.retry.max (%s)", formatDuration(retry.Initial), formatDuration(retry.Max)),
			"give at most worker.retry.max, or raise that")
	}
	if checkName(c.Quota.Group) != nil {
		l.problem("quota.group", shown(c.Quota.Group)+" is not a name", nameMend)
	}
	if c.Admin.Listen != "" && !checkListen(c.Admin.Listen) {
		l.problem("admin.listen", shown(c.Admin.Listen)+" is not host:port", "write an address such as 127.0.0.1:8466, or off")
	}
}

// failedBelow reports whether a value of a map, or one of its names, could not be read.
func (l *loader) failedBelow(section string) bool {
	for key := range l.failed {
		if key == section || strings.HasPrefix(key, section+".") {
			return true
		}
	}
	return false
}

func (l *loader) checkSources(c *Config) {
	names := slices.Sorted(maps.Keys(c.Sources))
	if len(names) == 0 && l.skip&PartSources == 0 && c.SourcesDir == "" && !c.Registry && !l.failedBelow("sources") {
		l.problem("sources", "no source is configured", "name one below sources, with its id and key")
	}
	for _, name := range names {
		l.checkSource(c, "sources."+name, c.Sources[name])
	}
	l.checkUse(c, names)
	l.checkSourceIDs(c, names)
}

// checkSourceIDs warns of a Source ID that two sources have.
func (l *loader) checkSourceIDs(c *Config, names []string) {
	seen := map[string]string{}
	for _, name := range names {
		s := c.Sources[name]
		who := s.ID + " " + s.Environment
		if first, again := seen[who]; again && s.ID != "" {
			l.warn("sources."+name+".id", "is the Source ID of sources."+first+" in the same environment, too", "use one source where messages must stay in order")
			continue
		}
		seen[who] = name
	}
}

func (l *loader) checkSource(c *Config, at string, s Source) {
	if s.ID == "" && s.SlugGuard != SlugGuardOff && !l.failed[at+".id"] && l.skip&(PartSources|PartKeys) == 0 && needsID(c.Keys[s.Key]) {
		l.problem(at+".id", "is missing", "copy the Source ID from Redox's dashboard")
	}
	if s.ID != "" && !uuidPattern.MatchString(s.ID) {
		l.problem(at+".id", shown(s.ID)+" is not a UUID", "copy the Source ID from Redox's dashboard")
	}
	for _, pattern := range s.Hold {
		if !holdPattern.MatchString(pattern) {
			l.problem(at+".hold", shown(pattern)+" is not DataModel.EventType", "write a pattern such as Order.New, Order.* or *.Delete")
		}
	}
	if l.skip&PartKeys != 0 || l.failed[at+".key"] {
		return
	}
	if _, ok := c.Keys[s.Key]; ok || (s.Key == "" && l.skip&PartSources != 0) {
		return
	}
	known := slices.Sorted(maps.Keys(c.Keys))
	mend := "add keys." + s.Key
	switch near := suggest(s.Key, known); {
	case s.Key == "":
		l.problem(at+".key", "is missing", "name one of keys")
		return
	case near != "":
		mend = "did you mean " + near + "?"
	case checkName(s.Key) != nil:
		mend = "name one of keys"
	}
	l.problem(at+".key", "no key is called "+shown(s.Key), mend)
}

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
