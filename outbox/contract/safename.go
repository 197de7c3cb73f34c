package contract

// NoName stands for the name of a data model or event type that is not shown, because it
// could be anything; see [SafeName].
const NoName = "(not a word)"

// maxSafeName bounds a name that is shown. The longest of Redox has 22 bytes.
const maxSafeName = 40

// SafeName returns the name of a data model or event type as it may be shown on a screen and
// written to a log, metric or event: the name itself if it is words of letters (a to z, A to Z)
// with single blanks between them, and at most 40 bytes; empty if it is empty; else [NoName]. A
// client may have put a patient's number into the field by mistake.
func SafeName(name string) string {
	if name == "" {
		return ""
	}
	letter := false
	for i := 0; i < len(name); i++ {
		switch c := name[i] | 0x20; {
		case c >= 'a' && c <= 'z':
			letter = true
		case name[i] == ' ' && letter:
			letter = false
		default:
			return NoName
		}
	}
	if !letter || len(name) > maxSafeName {
		return NoName
	}
	return name
}
