package redoxsim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// fhirTarget is what the path of a FHIR request names (Redox, FHIR API: /fhir/R4/{slug}/{environment}/...).
type fhirTarget struct {
	slug, environment string
	resource          string
	id, version       string // of a read
	page              string // of a search, as its link names it; the name of an export
	operation         string // "read", "_search", "page", "$match", those of fhirbulk.go and fhirrest.go, or a writeback such as "$patient-update"
}

// parseFHIRPath takes a path apart that begins with PathFHIR, as it was sent. Every part is case sensitive. Operations
// on one resource are not documented, and not found here.
func parseFHIRPath(method, escaped string) (*fhirTarget, bool) {
	rest, ok := strings.CutPrefix(escaped, PathFHIR)
	parts := strings.Split(rest, "/")
	if !ok || len(parts) < 2 {
		return nil, false
	}
	for i, part := range parts {
		text, err := url.PathUnescape(part)
		if err != nil || !plain(text) {
			return nil, false
		}
		parts[i] = text
	}
	f := &fhirTarget{slug: parts[0], environment: parts[1]}
	if len(parts) > 2 {
		f.resource = parts[2]
	}
	switch f.environment {
	case "Development", "Staging", "Production":
	default:
		return nil, false
	}
	return f, f.parse(method, parts[2:])
}

// parse reads what is behind the environment.
func (f *fhirTarget) parse(method string, parts []string) bool {
	if f.parseBulk(method, parts) || f.parseREST(method, parts) {
		return true
	}
	switch {
	case len(parts) == 4 && parts[0] == "page" && parts[2] == "search": // as recorded (2024); that it is a GET is inferred
		f.resource, f.operation, f.page = parts[1], "page", parts[3]
		return method == http.MethodGet && fhirResources[f.resource]
	case !fhirResources[f.resource]:
		return false
	case len(parts) == 4 && parts[2] == "_history": // locations name versions (recorded 2024); that they can be read is inferred
		f.id, f.version, f.operation = parts[1], parts[3], "read"
		return method == http.MethodGet && isID(f.id) && isID(f.version)
	case len(parts) != 2:
		return false
	case method == http.MethodGet:
		f.id, f.operation = parts[1], "read"
		return isID(f.id)
	case method != http.MethodPost:
		return false
	}
	f.operation = parts[1]
	return f.operation == "_search" || f.operation == "$match" && f.resource == "Patient" || f.operation != "$match" && isWriteback(f.operation)
}

// isID knows the form of an id of FHIR, and takes no operation for one.
func isID(text string) bool { return text != "" && len(text) <= 64 && !strings.ContainsAny(text, "_$") }

// isQuery says that the request is no writeback: its source is named by a header, as there is no MessageHeader.
func (f *fhirTarget) isQuery() bool {
	return f.isREST() || slices.Contains([]string{"read", "_search", "page", "$match", export, exportStatus, exportFile, createBinary}, f.operation)
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
	for resource := range fhirResources {
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

// foreign says that an operation is of another resource, by its name: Observation has no $appointment-create.
func (f *fhirTarget) foreign() bool {
	name, owned := strings.TrimPrefix(f.operation, "$"), false
	for prefix, resource := range operationsOf {
		if strings.HasPrefix(name, prefix+"-") {
			if resource == f.resource {
				return false
			}
			owned = true
		}
	}
	return owned
}

// plain says that a part of a path is made of letters, digits and - . _ $, and is no step to another directory.
func plain(part string) bool {
	if strings.Trim(part, ".") == "" {
		return false
	}
	return !strings.ContainsFunc(part, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._$", r)
	})
}
