// Package lint checks data-model messages against the JSON schemas that Redox publishes, before
// they are stored in a queue: what Redox would refuse is better heard of by whoever sends it than
// read in a dead letter.
//
// Whoever uses it downloads the schemas, which are Redox's, into a directory: one file for each event,
// named <data model>/<event>.json, as patientadmin/newpatient.json, directly or some folders below.
// Case, blanks and punctuation of the names do not count. [New] looks at what is there, and a schema
// is read when the first message of its event comes. They are of draft 4 where they do not say
// otherwise. A $ref leads to other files of the directory; nothing else is opened, and nothing is
// fetched.
//
//	linter, err := lint.New("redox-schemas")
//	…
//	publisher, err := outbox.NewPublisher(js, outbox.PublisherConfig{Lint: linter.Check})
//
// refuses what does not fit; with linter.Warn(logger) in place of linter.Check it is logged and
// stored all the same, which is the better start: published schemas are older than what Redox takes,
// and a message may be right that they do not know.
//
// # What is said of a message
//
// A [Problem] has the place, as Patient.Identifiers[0].ID, and the kind of problem. No value of the
// message is in it, and of the names none that the schema does not have: whoever mistakes a field for a
// map may have made a patient's number one. They are counted.
//
// # What it costs
//
// A schema is compiled once, and again only while several goroutines need it at the same time. A check
// allocates some twenty times the size of a message of small values, and hardly more than the size of one
// that is mostly a file; one of the former with 10 MB takes about a second. Schemas and messages that
// would take far more than any of Redox's are not judged: [ErrUnchecked].
package lint
