// Package conformance holds tests only: they give the files of deploy to the programs and libraries
// that will read them. promtool tests the alerts and the queries of the dashboard, with what a real
// worker shows while something really is wrong; the commands of RUNBOOK.md are run as they stand there.
//
// It is a module of its own, since it needs more than `go test ./...` does: promtool (in Debian's
// package prometheus), and modules of Kubernetes.
package conformance
