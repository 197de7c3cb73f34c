package config

import (
	"errors"
	"regexp"
	"strings"
)

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
	prefixPattern = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	uuidPattern   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	holdPattern   = regexp.MustCompile(`^(\*|[A-Za-z][A-Za-z0-9 -]*)\.(\*|[A-Za-z][A-Za-z0-9 -]*)$`)
)

var errName = errors.New("not a name")

const nameMend = "use 1 to 64 of a-z, 0-9 and -"

// checkName checks the name of a source or a key: a source's is a token of NATS
// subjects, and both are parts of names of environment variables.
func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return errName
	}
	return nil
}

// envPrefix begins every environment variable of ours; envFile names the file.
// envCredentials is systemd's.
const (
	envPrefix      = "REDOXWORKER_"
	envFile        = envPrefix + "CONFIG"
	envCredentials = "CREDENTIALS_DIRECTORY"
)

// envName returns the environment variable of a key.
func envName(key string) string {
	return envPrefix + envPart(key)
}

func envPart(key string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}
