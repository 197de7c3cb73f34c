// Package bench is the command that measures. Loop has the worker beside a raw loop that does the same
// work without the guarantees, and with --fleet what many sources cost as a whole; harm has one source of
// many meet trouble and looks what the others feel; burst has a fleet rest and then publish at once.
//
// All of them drive child processes, which are this program again: the worker as run runs it, the
// raw loop, NATS and what stands in for Redox, so that each has its own figures. A scene is a worker with many
// sources between a NATS server and a simulated Redox.
package bench

// Commands measure what the worker costs and what its sources feel of each other.
type Commands struct {
	Loop  loopCommand  `cmd:"" default:"withargs" help:"Throughput, latency, processor time and memory beside a raw loop."`
	Harm  harmCommand  `cmd:"" help:"What other sources feel while one of them meets trouble, and whether anything is lost."`
	Burst burstCommand `cmd:"" help:"How fast a burst after a rest goes out under the quota."`
}
