// Package uploads remembers which files were uploaded for messages, so that a message that is
// sent again names the file that is there.
package uploads
