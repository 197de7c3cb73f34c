// Package fhirpages follows a FHIR search, a history or whatever else a server answers in pages,
// through the queue: [Follow] asks for each page with a REQUEST of its own, which a worker sends,
// repeats and paces as any other, and takes the link to the next page as the server gave it. One
// page is in memory at a time.
//
// A link may hold what was searched for: like bodies, links are never part of an error or of what
// a [Page] prints.
package fhirpages
