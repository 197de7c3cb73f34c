// Package natslink connects a program to NATS as a configuration says, and follows what becomes
// of the connection: why there is none, and when it is back.
package natslink
