// Package ledger keeps what workers must remember of a message between its deliveries, in the
// key-value bucket REDOX_LEDGER: attempts, age, starts without an end, intents, settlements
// that lack only their ack, and what operators have decided by hand.
//
// A key of two tokens, <source>.<token of the message>, is a record. One of three tokens begins
// with what it is. The bucket may be lost or damaged at any time: the key born says since when
// the ledger remembers everything, so that a message that is older than that is not taken for
// one that nobody had.
package ledger
