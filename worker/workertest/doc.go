// Package workertest is for tests of applications and of what is built on package worker.
//
// [Start] is the whole in one call: a NATS server, a simulated Redox that knows a key and the
// sources, a worker and a publisher. [Rig.Published] asserts what an application has
// published, [Rig.Settled] what became of it. [StartInBubble] has the same in fake time, where
// a retry schedule of hours is a test of seconds.
//
// [Bubble] is a JetStream server alone in fake time, [Far] a scripted far side that records
// what it is asked to deliver, [Output] a log that can be read while it is written.
//
// It links package testing and an embedded NATS server; import it from tests only.
package workertest
