package redoxsim

import "strings"

// resultOf is a synthetic result for a query, as the JSON object that Meta is added to. The people in it do not exist.
func resultOf(m *message) []byte {
	if body, ok := results[m.dataModel+":"+m.eventType]; ok {
		return []byte(body)
	}
	if body, ok := results[m.dataModel]; ok {
		return []byte(body)
	}
	return []byte(`{"Patient":` + simPatient + `}`)
}

const simPatient = `{"Identifiers":[{"ID":"SIM0000001","IDType":"MR"},{"ID":"e0000000-0000-4000-8000-000000000001","IDType":"EHRID"}],` +
	`"Demographics":{"FirstName":"Sim","LastName":"Patient","DOB":"1980-01-01","Sex":"Other",` +
	`"Address":{"StreetAddress":"1 Example Street","City":"Springfield","State":"WI","ZIP":"00000","Country":"US"},` +
	`"PhoneNumber":{"Home":"+15555550100"}},"Notes":[]}`

const simVisit = `{"VisitNumber":"SIM-V1","VisitDateTime":"2024-01-01T09:00:00.000Z","Duration":30,"Reason":"Check-up",` +
	`"Status":"Scheduled","AttendingProviders":[{"ID":"0000000000","IDType":"NPI","FirstName":"Sim","LastName":"Provider"}],` +
	`"Location":{"Type":"Clinic","Facility":"Sim Clinic","Department":"Example"}}`

const simSummary = `{"Header":{"Document":{"ID":"SIM-D1","Title":"Continuity of Care Document","DateTime":"2024-01-01T09:00:00.000Z",` +
	`"Type":"CCD"},"Patient":` + simPatient + `},"Allergies":[],"Encounters":[],"Medications":[],"Problems":[],"Results":[],"VitalSigns":[]}`

// results are keyed by "DataModel:EventType", or by DataModel for the rest of its queries.
var results = map[string]string{
	"PatientSearch:Query":            `{"Patient":` + simPatient + `,"PotentialMatches":[]}`,
	"PatientSearch:LocationQuery":    `{"Patients":[` + simPatient + `]}`,
	"Scheduling:AvailableSlots":      `{"Visits":[` + simVisit + `,` + strings.Replace(simVisit, "SIM-V1", "SIM-V2", 1) + `]}`,
	"Scheduling:Booked":              `{"Visits":[` + simVisit + `]}`,
	"PatientAdmin:CensusQuery":       `{"Patients":[` + simPatient + `]}`,
	"PatientAdmin:VisitQuery":        `{"Patients":[{"Patient":` + simPatient + `,"Visit":` + simVisit + `}]}`,
	"Clinical Summary":               simSummary,
	"Clinical Summary:DocumentQuery": `{"Patient":` + simPatient + `,"Documents":[{"ID":"SIM-D1","Title":"Continuity of Care Document","Type":"CCD"}]}`,
	"Clinical Summary:DocumentGet":   `{"Document":{"ID":"SIM-D1"},"FileType":"PDF","Data":"JVBERi0xLjQKJSVFT0YK"}`,
	"Clinical Decisions":             `{"Advisories":[]}`,
	"Flowsheet":                      `{"Patient":` + simPatient + `,"Observations":[]}`,
	"Medications":                    `{"Patient":` + simPatient + `,"Medications":[]}`,
	"Media":                          `{"Media":[]}`,
	"Notes":                          `{"Patient":` + simPatient + `,"Notes":[]}`,
	"Order":                          `{"Patients":[{"Patient":` + simPatient + `,"Orders":[]}]}`,
	"Organization":                   `{"Organizations":[]}`,
	"Provider":                       `{"Providers":[{"Identifiers":[{"ID":"0000000000","IDType":"NPI"}],"Demographics":{"FirstName":"Sim","LastName":"Provider"}}]}`,
	"Referral":                       `{"Referrals":[]}`,
	"Results":                        `{"Patients":[{"Patient":` + simPatient + `,"Orders":[]}]}`,
	"Vaccination":                    `{"Patient":` + simPatient + `,"Vaccinations":[]}`,
}
