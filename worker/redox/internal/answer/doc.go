// Package answer reads what an answer of Redox says about the fate of a message, whether it is
// kept or only passes.
package answer
