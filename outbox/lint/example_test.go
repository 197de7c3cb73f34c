package lint_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/lint"
)

// A publisher that stores nothing that Redox's schemas would refuse.
func Example() {
	linter, err := lint.New(downloaded())
	if err != nil {
		log.Fatal(err)
	}
	cfg := outbox.PublisherConfig{Lint: linter.Check} // linter.Warn(logger) warns, and refuses nothing

	err = cfg.Lint(context.Background(), outbox.Message{Body: []byte(`{"Meta":{"DataModel":"Device","EventType":"New"},"Device":{"ID":4711}}`)})
	fmt.Println(err)
	err = cfg.Lint(context.Background(), outbox.Message{Body: []byte(`{"Meta":{"DataModel":"Order","EventType":"New"}}`)})
	fmt.Println(errors.Is(err, lint.ErrNoSchema))
	// Output:
	// lint: Device New does not fit its schema: Device.ID is number and should be string
	// true
}

// downloaded stands for a directory with Redox's schemas.
func downloaded() string {
	dir, err := os.MkdirTemp("", "schemas")
	if err == nil {
		err = os.Mkdir(filepath.Join(dir, "device"), 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "device", "new.json"), []byte(`{"properties":{"Device":{"properties":{"ID":{"type":"string"}}}}}`), 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}
	return dir
}
