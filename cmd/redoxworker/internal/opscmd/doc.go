// Package opscmd are the subcommands with which an operator holds up messages and lets them go, and
// looks where they are and what was done: pause, resume, order, find, audit.
package opscmd
