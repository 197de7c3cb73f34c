// Package jsonscan reads JSON in place: values alias the text.
//
// A [Scanner] walks over a text with the decoder of package jsontext. The Skip and Skim
// functions do so over plain texts in half the time, and fail for all others. [Measure] finds
// the base64 of a file inside a string.
package jsonscan
