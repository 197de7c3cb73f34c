// Package config reads the settings of redoxworker: a YAML file, then the environment, then the
// command line, each taking precedence over the one before.
//
// [Load] returns either a complete [Config] with every default filled in, or [Problems]: all that
// is wrong, each on one line that names the key and the mend. A Config is plain data. The command
// fills the Config structs of the other packages from it; none of them imports this one.
//
// The tags of Config drive everything: decoding, defaults, the names of
// environment variables, [Config.YAML] and [Config.JSON], [Schema] and
// [Reference]. A new key is a field with tags. A key is written with dots, as in sources.clinic-a.on_unknown;
// its variable is REDOXWORKER_SOURCES_CLINIC_A_ON_UNKNOWN.
//
// Secrets have a type of their own, [Secret], which prints as [redacted]
// wherever it ends up. No problem and no warning shows the value of a secret
// or of a key that is not known.
package config
