// Package conformance holds tests only: it proves the sign-in of the web console with npm's
// oidc-provider, and its pages in a browser: Debian's chromium-headless-shell, with the rules of npm's
// axe-core. It needs both, Node.js, and, once,
//
//	npm ci --prefix testdata/npm
//
// It is a module of its own, so that no user of the console downloads what drives a browser.
package conformance
