package fhirpath

import (
	"net/http"
	"slices"
)

// Operations on much at once and on files. Redox documents Group/{id}/$export, an export of the system, and a question how
// far one is (Beta), and files as Binary; where they are and how they look is FHIR's Bulk Data Access and REST (inferred).
const (
	Export       = "$export"
	ExportStatus = "export-status"
	ExportFile   = "export-file"
	CreateBinary = "create"
)

// parseBulk reads a path of these operations.
func (f *Target) parseBulk(method string, parts []string) bool {
	get, of := method == http.MethodGet, "Group"
	asks := get || method == http.MethodPost
	switch {
	case asks && len(parts) == 1 && parts[0] == Export, asks && len(parts) == 2 && parts[0] == "Patient" && parts[1] == Export:
		f.Operation = Export
	case asks && len(parts) == 3 && parts[0] == "Group" && IsID(parts[1]) && parts[2] == Export:
		f.Operation, f.ID = Export, parts[1]
	case (get || method == http.MethodDelete) && len(parts) == 2 && parts[0] == "export":
		f.Operation, f.Page = ExportStatus, parts[1]
	case get && len(parts) == 3 && parts[0] == "export":
		f.Operation, f.Page, f.Version = ExportFile, parts[1], parts[2]
	case method == http.MethodPost && len(parts) == 1 && parts[0] == "Binary":
		f.Operation, of = CreateBinary, "Binary"
	default:
		return false
	}
	f.Resource = of
	return true
}

// AnyForm says that bodies and answers need not be FHIR.
func (f *Target) AnyForm() bool {
	return f.Operation == Export || f.Operation == ExportStatus || f.Operation == ExportFile || f.Resource == "Binary" && (f.Operation == CreateBinary || f.Operation == "read")
}

// Interactions of FHIR's RESTful API that Redox does not document and a destination may have (FHIR R4, http.html;
// inferred). Nothing is kept: each resource that is asked for exists, in version 1.
const (
	Create       = "create" // CreateBinary, for all other resources
	Update       = "update"
	Patch        = "patch"
	Delete       = "delete"
	History      = "_history"
	Transaction  = "transaction"
	Capabilities = "metadata"
)

// parseREST reads a path of these interactions. Subscriptions are made elsewhere at Redox.
func (f *Target) parseREST(method string, parts []string) bool {
	if len(parts) == 0 {
		f.Resource, f.Operation = "Bundle", Transaction
		return method == http.MethodPost
	}
	if len(parts) == 1 && parts[0] == Capabilities && method == http.MethodGet {
		f.Resource, f.Operation = "CapabilityStatement", Capabilities
		return true
	}
	if !Resources[f.Resource] || f.Resource == "Subscription" {
		return false
	}
	one := len(parts) >= 2 && IsID(parts[1])
	if one {
		f.ID = parts[1]
	}
	switch {
	case len(parts) == 2 && parts[1] == History, len(parts) == 3 && one && parts[2] == History:
		f.Operation = History
		return method == http.MethodGet
	case len(parts) > 2 || len(parts) == 2 && !one:
		return false
	}
	f.Operation = map[string]string{http.MethodPut: Update, http.MethodPatch: Patch, http.MethodDelete: Delete}[method]
	switch {
	case f.Operation == "" && !one && method == http.MethodPost:
		f.Operation = Create
	case f.Operation == "" && !one && method == http.MethodGet:
		f.Operation = "_search" // Redox's page has searches posted
	}
	return f.Operation != ""
}

// IsREST says that the request is one of these interactions.
func (f *Target) IsREST() bool {
	return slices.Contains([]string{Update, Patch, Delete, History, Transaction, Capabilities}, f.Operation) || f.Operation == Create && f.Resource != "Binary"
}
