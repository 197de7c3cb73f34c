// Package limit decides how much goes on at once: [Slots] shares the attempts in flight out
// among the sources, [Adaptive] finds how many the far side copes with, and [Pool] keeps
// the goroutines that they run on. It knows no messages and no NATS.
package limit
