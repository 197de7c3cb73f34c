// Package statuscmd has the commands that show what is going on: status and workers.
package statuscmd
