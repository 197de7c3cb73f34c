// Package chaos is the bench that breaks things: worker processes and NATS servers that
// are killed, stopped and cut off while messages flow, with a simulated Redox as the
// witness. It is test code alone, and has nothing to import. A Record holds what was published,
// what arrived, what was answered and what the streams hold in the end; Check holds it against
// the guarantees of the worker.
//
// The short version runs with the other tests: each scenario once, all side by side. The
// long one, about three quarters of an hour on two cores, one after the other; three runs of
// each scenario; and one run again:
//
//	go test ./worker/workertest/chaos -count=1 -timeout=3h -v -chaos.long
//	go test ./worker/workertest/chaos -count=1 -v -run TestChaos_ -chaos.runs=3
//	go test ./worker/workertest/chaos -count=1 -v -run TestChaos_WorkersKilled -chaos.seed=7 -chaos.runs=1
//
// Flags: -chaos.long takes the number of runs of the long version, -chaos.runs another
// one, -chaos.seed the first seed (default 1; the runs count from there), -chaos.keep a
// directory in which the logs of failed runs stay. Each run prints its seed and its
// schedule. A seed replays load and schedule; what the processes make of it varies.
//
// It needs the go command.
package chaos
