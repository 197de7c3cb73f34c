// Package workertest is a rig for testing what runs on package worker, by embedders and
// by this module itself: a JetStream server inside a bubble of fake time, where a retry
// schedule of half an hour is a test of a tenth of a second, and a scripted far side that
// records what it is asked to deliver.
//
// It links package testing and an embedded NATS server; import it from tests only.
package workertest
