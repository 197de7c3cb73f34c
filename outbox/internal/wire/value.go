package wire

// MaxHTTPValue is the limit of the value of an HTTP header of a message, in bytes.
const MaxHTTPValue = 2048

// ValueFault says what keeps v from being the value of an HTTP header of a message; "" when it is one.
func ValueFault(v string) string {
	switch {
	case v == "":
		return "is empty: leave it out if there is none"
	case len(v) > MaxHTTPValue:
		return TooLong(MaxHTTPValue)
	case !printable(v):
		return "holds a character outside printable ASCII"
	case v[0] == ' ' || v[len(v)-1] == ' ':
		return "begins or ends with a space"
	}
	return ""
}

// printable keeps a value from becoming a second header or a second request.
func printable(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return true
}
