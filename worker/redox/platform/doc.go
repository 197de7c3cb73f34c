// Package platform asks Redox's Platform API what became of a message that Redox took.
//
// That Redox answered 200 to a SEND says that it keeps the message, not that the
// destination has it: what happens later shows only in Redox's log of the message, whose
// id was in the answer (Meta.Logs[].ID). [Logs.Look] looks one up.
//
// Requests go through a [Deliver], which is the Deliver method of a redox.Client with a
// source on a user-level key: so they share its connections, its tokens and the quota.
//
// Of Redox's answer only what says nothing about a patient is kept.
package platform
