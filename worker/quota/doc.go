// Package quota keeps a fleet of workers within one limit of requests per rolling window,
// such as Redox's 7,500 per 5 minutes and egress address.
//
// The limit is a number of slots. A request takes one, and the slot is free for the next
// request one window after the answer was there: the request has arrived by then, whenever
// it arrived, so the far side never counts more than the limit within any window. Slots
// that are free, and when they will be, are noted in one key of the bucket that all
// workers share (the book). Once a second a worker notes there what it has used and takes
// what it may use in the next two: a lease of slots, each with the moment from which it
// may be used. These moments are spread evenly over the window. Nothing is written for a
// single request.
//
// A worker that dies keeps its few leased slots from the others until one window after its
// lease has ended. A worker that loses NATS uses up the lease it has and then waits: nothing
// can be pulled without NATS either. Where NATS is there and the book is not, because its
// bucket was deleted or is full, each worker goes on with its last share of the limit, of which
// what others may have taken since its last turn counts as used for one window. One that the
// others do not know of yet, as it came a moment before, waits for the bucket. A book
// that was deleted, purged or damaged is made anew at the next turn: nobody stops, and what is
// not known of the lost one counts as used for one window.
//
// All moments in the book are in the time of the NATS server; each worker knows that time
// within the bounds of a round trip and always takes the safer bound, so that the clocks
// of the workers need not agree.
//
// [Governor] has the method that package worker wants of a limiter; neither imports the
// other.
package quota
