// Package cli is what the subcommands share: the streams, the environment and the flags of every
// command; the way from an error to an exit code; the session with NATS; and what is shown to people:
// tables, progress, questions, the log.
//
// Execute runs a command line. Nothing here knows a subcommand.
package cli
