// Package xoauth2 gives users of golang.org/x/oauth2 the tokens of an
// [auth.Cache]. It is apart from package auth so that only they link x/oauth2.
package xoauth2
