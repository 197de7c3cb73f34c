// Package fhirpath reads what the path of a FHIR request names: a destination, its environment, a resource
// and what is to be done with it.
package fhirpath

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Prefix begins the paths.
const Prefix = "/fhir/R4/"

// Target is what the path of a FHIR request names (Redox, FHIR API: /fhir/R4/{slug}/{environment}/...).
type Target struct {
	Slug, Environment string
	Resource          string
	ID, Version       string // of a read
	Page              string // of a search, as its link names it; the name of an Export
	Operation         string // "read", "_search", "page", "$match", those of operations.go, or a writeback such as "$patient-update"
}

// Parse takes a path apart that begins with Prefix, as it was sent. Every part is case sensitive. Operations
// on one resource are not documented, and not found here.
func Parse(method, escaped string) (*Target, bool) {
	rest, ok := strings.CutPrefix(escaped, Prefix)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 2 {
		return nil, false
	}
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil || !Plain(text) {
			return nil, false
		}
		parts[i] = text
	}
	f := &Target{Slug: parts[0], Environment: parts[1]}
	if len(parts) > 2 {
		f.Resource = parts[2]
	}
	switch f.Environment {
	case "Development", "Staging", "Production":
	default:
		return nil, false
	}
	return f, f.parse(method, parts[2:])
}

// parse reads what is behind the environment.
func (f *Target) parse(method string, parts []string) bool {
	if f.parseBulk(method, parts) || f.parseREST(method, parts) {
		return true
	}
	switch {
	case len(parts) == 4 && parts[0] == "page" && parts[2] == "search": // as recorded (2024); that it is a GET is inferred
		f.Resource, f.Operation, f.Page = parts[1], "page", parts[3]
		return method == http.MethodGet && Resources[f.Resource]
	case !Resources[f.Resource]:
		return false
	case len(parts) == 4 && parts[2] == "_history": // locations name versions (recorded 2024); that they can be read is inferred
		f.ID, f.Version, f.Operation = parts[1], parts[3], "read"
		return method == http.MethodGet && IsID(f.ID) && IsID(f.Version)
	case len(parts) != 2:
		return false
	case method == http.MethodGet:
		f.ID, f.Operation = parts[1], "read"
		return IsID(f.ID)
	case method != http.MethodPost:
		return false
	}
	f.Operation = parts[1]
	return f.Operation == "_search" || f.Operation == "$match" && f.Resource == "Patient" || f.Operation != "$match" && isWriteback(f.Operation)
}

// IsID knows the form of an id of FHIR, and takes no operation for one.
func IsID(text string) bool { return text != "" && len(text) <= 64 && !strings.ContainsAny(text, "_$") }

// IsQuery says that the request is no writeback: its source is named by a header, as there is no MessageHeader.
func (f *Target) IsQuery() bool {
	return f.IsREST() || slices.Contains([]string{"read", "_search", "page", "$match", Export, ExportStatus, ExportFile, CreateBinary}, f.Operation)
}

// isWriteback knows the form of Redox's operations. There is no generic $process-message.
func isWriteback(operation string) bool {
	name, ok := strings.CutPrefix(operation, "$")
	if !ok || name == "" || name == "process-message" {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return (r < 'a' || r > 'z') && r != '-' })
}

// operationsOf are the resources that the names of operations begin with: "appointment-response" of AppointmentResponse.
var operationsOf = func() map[string]string {
	all := map[string]string{}
	for resource := range Resources {
		var name strings.Builder
		for i, r := range resource {
			if i > 0 && 'A' <= r && r <= 'Z' {
				name.WriteByte('-')
			}
			name.WriteRune(r)
		}
		all[strings.ToLower(name.String())] = resource
	}
	return all
}()

// Foreign says that an operation is of another resource, by its name: Observation has no $appointment-create.
func (f *Target) Foreign() bool {
	name, owned := strings.TrimPrefix(f.Operation, "$"), false
	for prefix, resource := range operationsOf {
		if strings.HasPrefix(name, prefix+"-") {
			if resource == f.Resource {
				return false
			}
			owned = true
		}
	}
	return owned
}

// Plain says that a part of a path is made of letters, digits and - . _ $, and is no step to another directory.
func Plain(part string) bool {
	if strings.Trim(part, ".") == "" {
		return false
	}
	return !strings.ContainsFunc(part, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._$", r)
	})
}
