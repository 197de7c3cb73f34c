//go:build !failpoint

package failpoint

// At marks a step of a delivery at which a test may kill this process, built with
// the tag failpoint. Without the tag it does nothing and costs nothing. The steps, in the
// order in which a delivery takes them:
//
//	receive      the message was delivered and its lease is kept
//	intent       the ledger holds the start of the attempt; nothing was sent
//	send         the message is about to be sent
//	answer       the attempt has ended; nothing was noted, nothing settled
//	note         the ledger holds the failed attempt; the message was not given back
//	order        the token is marked, under hold; no dead letter yet
//	dead-letter  the dead letter is confirmed
//	reply        the reply is published; a durable one confirmed
//	audit        the audit entry is written, where one is wanted
//	ack          everything is done but the acknowledgement
//	acked        the acknowledgement is confirmed
func At(string) {}
