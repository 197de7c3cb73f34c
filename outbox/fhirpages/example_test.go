package fhirpages_test

import (
	"context"
	"encoding/json"

	"github.com/redoxworker/redoxworker/outbox"
	"github.com/redoxworker/redoxworker/outbox/fhirpages"
)

// All patients of a search, page by page.
func ExampleFollow() {
	find := func(ctx context.Context, p *outbox.Publisher, found func(json.RawMessage) error) error {
		search := outbox.Message{
			Source: "clinic-a", Method: "POST", Path: "hospital/Development/Patient/_search",
			Body: []byte("birthdate=1980-01-01&_count=100"),
		}
		for page, err := range fhirpages.Follow(ctx, p, search, 0) {
			if err != nil {
				return err
			}
			for patient := range page.Resources() {
				if err := found(patient); err != nil {
					return err // and no more pages are asked for
				}
			}
		}
		return nil
	}
	_ = find
}
