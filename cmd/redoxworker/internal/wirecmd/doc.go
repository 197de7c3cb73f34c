// Package wirecmd has the commands about the wire contract itself, which ask nobody: the contract as
// text and as an AsyncAPI document, and the token of an order key.
package wirecmd
