// Package conformance runs the examples of outbox/CONTRACT.md as they stand there, and the clients of
// deploy/examples by the lines of their READMEs, with the nats CLI, node and Python, against a real
// worker, gateway and simulated Redox (redoxworker dev). It is a module of its own, since it needs
// tools that `go test ./...` does not: .ci/run installs them.
//
// CONTRACT_CLIENTS names the clients that are there, by default "nats javascript python", and
// CONTRACT_PYTHON the interpreter that has nats-py, by default python3. The packages of
// JavaScript are those of testdata/javascript (npm ci), that of Python is in testdata/python.
package conformance
