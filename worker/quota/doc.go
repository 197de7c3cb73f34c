// Package quota keeps a fleet of workers within one limit of requests per rolling window,
// such as Redox's 7,500 per 5 minutes and egress address.
//
// The limit is a number of grants. A request takes one, and the grant is free for the next
// request one window after the answer was there: the request has arrived by then, whenever
// it arrived, so the far side never counts more than the limit within any window. Grants
// that are free, and when they will be, are noted in one key of the bucket that all
// workers share (the book). Once a second a worker notes there what it has used and takes
// what it may use in the next two: an allotment of grants, each with the moment from which it
// may be used. Nothing is written for a single request.
//
// What is free may be used at once: after a rest SENDs go out as fast as they are answered,
// until what is kept for REQUESTs, and a little for sources that have sent nothing, is all that
// is left. From then on they are paced: first such that REQUESTs could go at their share of
// the rate until more is free, then, when the grants of the burst are free again, at the even
// rate of the limit, for as long as any wait. By that the next window is used evenly, and no
// grant is lost.
//
// REQUESTs go before SENDs, and sources take turns. A source without a backlog goes before
// those with one and does not wait for the pace. While others wait, requests in vain of one
// source get no more than a fifth of what a worker is granted. Each worker sees to that among
// what waits in it; between workers with a backlog the limit is shared evenly. The book does
// not know of sources: its size depends on workers and window alone.
//
// A worker that dies keeps what is allotted to it, about what it could use in the next seconds,
// from the others until one window after its allotment has ended. A worker that loses NATS uses up
// the allotment it has and then waits: nothing can be pulled without NATS either. Where NATS is
// there and the book is not, because its bucket was deleted or is full, each worker goes on
// with its last share of the limit, of which what others may have taken since its last turn
// counts as used for one window. One that the others do not know of yet, as it came a moment
// before, waits for the bucket. A book that was deleted, purged or damaged is made anew at the
// next turn: nobody stops, and what is not known of the lost one counts as used for one
// window.
//
// All moments in the book are in the time of the NATS server; each worker knows that time
// within the bounds of a round trip and always takes the safer bound, so that the clocks
// of the workers need not agree.
//
// [Governor] has the method that package worker wants of a limiter; neither imports the
// other.
package quota
