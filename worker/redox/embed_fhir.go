package redox

import (
	"mime"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/redoxworker/redoxworker/worker/redox/internal/jsonscan"
)

// attachmentNames are the elements of FHIR R4 that are of type Attachment wherever they are: the
// type is part of the name. What a StructureDefinition fixes or gives as a default is none: it
// says what others must be.
var attachmentNames = map[string]bool{
	"contentAttachment": true, "legallyBindingAttachment": true, "sequenceAttachment": true, "sourceAttachment": true, "valueAttachment": true,
}

// attachmentPlaces are all others, in resources and in the types that resources share.
var attachmentPlaces = map[string]bool{
	"BodyStructure.image": true, "ClaimResponse.form": true, "DiagnosticReport.presentedForm": true, "DocumentReference.content.attachment": true,
	"ExplanationOfBenefit.form": true, "HealthcareService.photo": true, "Library.content": true, "Media.content": true,
	"Patient.photo": true, "Person.photo": true, "Practitioner.photo": true, "RelatedPerson.photo": true,
	"SubstancePolymer.repeat.repeatUnit.structuralRepresentation.attachment": true,
	"SubstanceSpecification.structure.representation.attachment":             true,
	// ProdCharacteristic and RelatedArtifact.
	"physicalCharacteristics.image": true,
	"documentation.document":        true, "relatedArtifact.document": true, "valueRelatedArtifact.document": true,
}

// placed is a string in a member data whose place in the resource around it is not known yet.
type placed struct {
	stringAt
	names     []jsontext.Value // from the object that holds it up, at most mostNames
	media     jsontext.Value
	ambiguous bool
}

// mostNames is more than any place in attachmentPlaces has.
const mostNames = 6

// resource finds the files below an object, if it is a resource of FHIR, which may be inside
// others. If it is none, they wait for the resource that the object is part of.
func (f *finder) resource(o, parent *holder, own jsontext.Value) {
	data := 0
	for _, t := range o.large {
		if t.listed || !jsonscan.Is(t.name, "data") {
			f.elsewhere(t)
			continue
		}
		data++
		o.below = append(o.below, placed{stringAt: t, media: o.mediaType, ambiguous: o.url})
	}
	for i := len(o.below) - data; data > 1 && i < len(o.below); i++ {
		o.below[i].ambiguous = true
	}
	if o.resources == 1 {
		kind := jsonscan.Unquote(o.resourceType)
		for _, p := range o.below {
			f.place(kind, p)
		}
		return
	}
	for _, p := range o.below {
		if p.names = append(p.names, own); len(p.names) == mostNames {
			f.place("", p)
			continue
		}
		parent.below = append(parent.below, p)
	}
}

// place decides on a string in a resource of a kind.
func (f *finder) place(kind string, p placed) {
	switch {
	case len(p.names) == 0:
		if kind == "Binary" && len(f.path) > 1 { // alone it is an upload itself
			f.leave(leftBinary)
		}
	case !isAttachment(kind, p.names):
		f.elsewhere(p.stringAt)
	case p.ambiguous:
		f.leave(leftAmbiguous)
	default:
		f.file(p.stringAt, p.nameAt, mediaOf(p.media))
	}
}

// isAttachment reports whether what the names lead to is an Attachment. They begin with the
// innermost.
func isAttachment(kind string, names []jsontext.Value) bool {
	own := jsonscan.Unquote(names[0])
	if attachmentNames[own] {
		return true
	}
	if len(names) > 1 && attachmentPlaces[jsonscan.Unquote(names[1])+"."+own] {
		return true
	}
	path := own
	for _, name := range names[1:] {
		path = jsonscan.Unquote(name) + "." + path
	}
	return attachmentPlaces[kind+"."+path]
}

// mediaOf is the media type that an attachment says; "" where that is none.
func mediaOf(quoted jsontext.Value) string {
	media := jsonscan.Unquote(quoted)
	if _, _, err := mime.ParseMediaType(media); err != nil || !strings.Contains(media, "/") || len(media) > 200 || !validHeaderValue(media) {
		return ""
	}
	return media
}
