package outbox

import (
	"net/http"

	"github.com/redoxworker/redoxworker/outbox/contract"
)

// checkRoute checks method and path against the kind. A data-model message or
// a file with a route of its own is a mistake that must not be ignored: it
// would be sent somewhere else than its author meant.
func (m *Message) checkRoute() error {
	if m.Sealed() {
		return nil // it is not known
	}
	if !m.Kind.routed() {
		if m.Path != "" {
			return &ContractError{Part: contract.HeaderPath, Reason: "is for fhir and platform messages only"}
		}
		if m.Method != http.MethodPost {
			return &ContractError{Part: contract.HeaderMethod, Reason: "is for fhir and platform messages only"}
		}
		return nil
	}
	switch m.Method {
	case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodHead:
	default:
		return &ContractError{Part: contract.HeaderMethod, Reason: "is not GET, HEAD, POST, PUT, PATCH or DELETE"}
	}
	if m.Kind == KindFHIR {
		return contract.CheckFHIRPath(m.Path)
	}
	return contract.CheckPath(m.Path)
}
