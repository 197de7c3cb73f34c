// Package operate is what operators do by hand: dead letters are sent again, corrected, shown, taken
// out, brought back and discarded, sources are paused, orders are held and released. A [Desk] writes
// each deed into the audit trail before it does it, and does not do what it could not write.
//
// [Find] says where one message is.
package operate
