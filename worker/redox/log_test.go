package redox

import (
	"io"
	"log"
)

// quiet swallows what test servers say about the faults they were asked for.
var quiet = log.New(io.Discard, "", 0)
