// Package failpoint kills or stops a worker between two steps of a delivery, where it was built
// with the tag failpoint for the tests that do so; without the tag it does nothing.
package failpoint
