// Package opscmd are the subcommands with which an operator holds up messages and lets them go: pause,
// resume, order.
package opscmd
