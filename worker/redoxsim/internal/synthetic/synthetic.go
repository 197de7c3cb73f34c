// Package synthetic makes up what a destination answers: results of queries about people who do not exist.
package synthetic

import "strings"

// Result is the result of a query, as the JSON object that Meta is added to.
func Result(dataModel, eventType string) []byte {
	if body, ok := results[dataModel+":"+eventType]; ok {
		return []byte(body)
	}
	if body, ok := results[dataModel]; ok {
		return []byte(body)
	}
	return []byte(`{"Patient":` + patient + `}`)
}

const patient = `{"Identifiers":[{"ID":"SIM0000001","IDType":"MR"},{"ID":"e0000000-0000-4000-8000-000000000001","IDType":"EHRID"}],` +
	`"Demographics":{"FirstName":"Sim","LastName":"Patient","DOB":"1980-01-01","Sex":"Other",` +
	`"Address":{"StreetAddress":"1 Example Street","City":"Springfield","State":"WI","ZIP":"00000","Country":"US"},` +
	`"PhoneNumber":{"Home":"+15555550100"}},"Notes":[]}`

const visit = `{"VisitNumber":"SIM-V1","VisitDateTime":"2024-01-01T09:00:00.000Z","Duration":30,"Reason":"Check-up",` +
	`"Status":"Scheduled","AttendingProviders":[{"ID":"0000000000","IDType":"NPI","FirstName":"Sim","LastName":"Provider"}],` +
	`"Location":{"Type":"Clinic","Facility":"Sim Clinic","Department":"Example"}}`

const summary = `{"Header":{"Document":{"ID":"SIM-D1","Title":"Continuity of Care Document","DateTime":"2024-01-01T09:00:00.000Z",` +
	`"Type":"CCD"},"Patient":` + patient + `},"Allergies":[],"Encounters":[],"Medications":[],"Problems":[],"Results":[],"VitalSigns":[]}`

// results are keyed by "DataModel:EventType", or by DataModel for the rest of its queries.
var results = map[string]string{
	"PatientSearch:Query":            `{"Patient":` + patient + `,"PotentialMatches":[]}`,
	"PatientSearch:LocationQuery":    `{"Patients":[` + patient + `]}`,
	"Scheduling:AvailableSlots":      `{"Visits":[` + visit + `,` + strings.Replace(visit, "SIM-V1", "SIM-V2", 1) + `]}`,
	"Scheduling:Booked":              `{"Visits":[` + visit + `]}`,
	"PatientAdmin:CensusQuery":       `{"Patients":[` + patient + `]}`,
	"PatientAdmin:VisitQuery":        `{"Patients":[{"Patient":` + patient + `,"Visit":` + visit + `}]}`,
	"Clinical Summary":               summary,
	"Clinical Summary:DocumentQuery": `{"Patient":` + patient + `,"Documents":[{"ID":"SIM-D1","Title":"Continuity of Care Document","Type":"CCD"}]}`,
	"Clinical Summary:DocumentGet":   `{"Document":{"ID":"SIM-D1"},"FileType":"PDF","Data":"JVBERi0xLjQKJSVFT0YK"}`,
	"Clinical Decisions":             `{"Advisories":[]}`,
	"Flowsheet":                      `{"Patient":` + patient + `,"Observations":[]}`,
	"Medications":                    `{"Patient":` + patient + `,"Medications":[]}`,
	"Media":                          `{"Media":[]}`,
	"Notes":                          `{"Patient":` + patient + `,"Notes":[]}`,
	"Order":                          `{"Patients":[{"Patient":` + patient + `,"Orders":[]}]}`,
	"Organization":                   `{"Organizations":[]}`,
	"Provider":                       `{"Providers":[{"Identifiers":[{"ID":"0000000000","IDType":"NPI"}],"Demographics":{"FirstName":"Sim","LastName":"Provider"}}]}`,
	"Referral":                       `{"Referrals":[]}`,
	"Results":                        `{"Patients":[{"Patient":` + patient + `,"Orders":[]}]}`,
	"Vaccination":                    `{"Patient":` + patient + `,"Vaccinations":[]}`,
}
