// Package access gets a program to Redox as a configuration says: the transport with its
// client certificate, and the credentials of every key. Both follow their files while their
// Run methods run.
package access
