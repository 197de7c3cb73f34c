// Package httpwire is what requests to Redox go over: connections that count their bytes and
// tell what of a request was written.
//
// A [Transport] opens connections, a bounded number at a time, and gives each up when it is
// past its time. A [Watch] is attached to one request and says afterwards whether the other
// side can have anything of it. [Parts] are a body in several pieces that is written without
// a copy. [TimeLimits] end the requests that take too long.
package httpwire
