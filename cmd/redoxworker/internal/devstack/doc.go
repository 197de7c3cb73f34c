// Package devstack is the commands that bring everything themselves: demo, dev and sim.
//
// A stack is a NATS server, a simulated Redox and a worker in one process, with files that other
// processes can use too; demo and dev run one and show each message as a line. Demo publishes
// samples and checks what became of them, dev is left running, sim is the simulated Redox alone.
package devstack
