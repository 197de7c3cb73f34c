package config

// BodyLimit returns the largest body, in bytes, that a worker takes of a kind (data-model, fhir,
// file or platform; see package outbox), and the setting that it comes from.
func (r Redox) BodyLimit(kind string) (limit int64, setting string) {
	switch {
	case kind == "file":
		return r.MaxFile, "redox.max_file"
	case (kind == "data-model" || kind == "fhir") && r.Offload.Enabled:
		return r.MaxBody + (r.MaxFile+2)/3*4, "redox.max_body with a file of redox.max_file in base64"
	}
	return r.MaxBody, "redox.max_body"
}
