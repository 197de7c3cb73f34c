package config

import (
	"regexp"
	"slices"
	"strings"
)

// readEnviron reads our variables. names holds the entries that are known of
// keys and sources; others are inferred.
func readEnviron(environ []string, names map[string][]string) *layer {
	l := newLayer()
	for _, pair := range sorted(environ) {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || name == envFile {
			continue
		}
		where := "environment " + name
		keys := envKeys(name, names)
		switch {
		case len(keys) == 0 && isServiceLink(name):
		case len(keys) == 0:
			l.problem(name, "", "unknown environment variable", envMend(name, names))
		case len(keys) > 1:
			l.problem(name, "", "means both "+strings.Join(keys, " and "), "rename one of the two, or set it in the file")
		case value != "": // an empty variable is as good as none
			l.set(keys[0], value, where)
		}
	}
	return l
}

// set records a setting that is not from the file.
func (l *layer) set(key string, value any, where string) {
	l.values[key] = value
	l.where[key] = where
	if section, rest, _ := strings.Cut(key, "."); isMap(section) {
		name, _, _ := strings.Cut(rest, ".")
		l.entries = append(l.entries, section+"."+name)
	}
}

// envKeys returns the keys that a variable may mean: more than one when two
// known names fit. A name that is not known is what is left before the longest
// field that fits, as in REDOXWORKER_KEYS_MAIN_NEXT_KID: keys.main.next.kid.
func envKeys(name string, names map[string][]string) []string {
	rest := strings.TrimPrefix(name, envPrefix)
	var known []string
	inferred, longest := "", 0
	for _, f := range fields {
		section := f.section()
		if section == "" {
			if rest == envPart(f.key) {
				return []string{f.key}
			}
			continue
		}
		middle, ok := strings.CutPrefix(rest, envPart(section)+"_")
		if !ok {
			continue
		}
		last := envPart(f.last())
		middle, ok = strings.CutSuffix(middle, "_"+last)
		if !ok {
			continue
		}
		for _, n := range names[section] {
			if envPart(n) == middle {
				known = append(known, f.named(n))
			}
		}
		entry := strings.ReplaceAll(strings.ToLower(middle), "_", "-")
		if checkName(entry) == nil && middle == envPart(entry) && len(last) > longest {
			inferred, longest = f.named(entry), len(last)
		}
	}
	if len(known) == 0 && inferred != "" {
		return []string{inferred}
	}
	return known
}

// serviceLink matches the variables that Kubernetes sets in every pod of a
// namespace for a Service whose name begins with redoxworker.
var serviceLink = regexp.MustCompile(`^REDOXWORKER_([A-Z0-9_]+_)?(SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

func isServiceLink(name string) bool { return serviceLink.MatchString(name) }

// envMend words the mend for an unknown variable.
func envMend(name string, names map[string][]string) string {
	var all []string
	for _, f := range fields {
		section := f.section()
		if section == "" {
			all = append(all, envName(f.key))
		}
		for _, n := range names[section] {
			all = append(all, envName(f.named(n)))
		}
	}
	for _, f := range fields {
		if strings.HasPrefix(envName(f.key), name+"_") {
			return "it names a section; set the keys below it, such as " + envName(strings.ReplaceAll(f.key, "*", "<name>"))
		}
	}
	if s := suggest(name, all); s != "" {
		return "did you mean " + s + "?"
	}
	return "unset it; a key's variable is REDOXWORKER_ and the key in upper case with _ for . and -"
}

// natsVariables are those of the nats command line tool (nats-io/natscli,
// nats/main.go) that mean a setting of ours.
var natsVariables = map[string]string{
	"NATS_URL":      "nats.url",
	"NATS_CREDS":    "nats.creds_file",
	"NATS_NKEY":     "nats.nkey_file",
	"NATS_USER":     "nats.user",
	"NATS_PASSWORD": "nats.password",
	"NATS_CONTEXT":  "nats.context",
	"NATS_CA":       "nats.tls.ca_file",
	"NATS_CERT":     "nats.tls.cert_file",
	"NATS_KEY":      "nats.tls.key_file",
}

// readNATSEnviron reads the variables of the nats tool. For that tool a user
// without a password is a token; hasPassword says that another layer has one.
func readNATSEnviron(environ []string, hasPassword bool) *layer {
	l := newLayer()
	for _, pair := range sorted(environ) {
		name, value, _ := strings.Cut(pair, "=")
		if key, ok := natsVariables[name]; ok && value != "" {
			l.set(key, value, "environment "+name)
		}
	}
	user, ok := l.values["nats.user"].(string)
	if _, password := l.values["nats.password"]; ok && !password && !hasPassword {
		where := l.where["nats.user"]
		delete(l.values, "nats.user")
		delete(l.where, "nats.user")
		l.set("nats.token", user, where)
	}
	return l
}

// hasPassword reports whether the layer sets the password of nats.user.
func (l *layer) hasPassword() bool {
	return l.values["nats.password"] != nil || l.values["nats.password_file"] != nil
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
