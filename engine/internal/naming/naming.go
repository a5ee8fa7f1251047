// Package naming has the rule for names of containers, volumes and networks, which is Docker's.
package naming

// Plain tells whether a name is of the form [a-zA-Z0-9][a-zA-Z0-9_.-]*. How long it may be is for whoever keeps it to say.
func Plain(name string) bool {
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
		case i > 0 && (c == '_' || c == '.' || c == '-'):
		default:
			return false
		}
	}
	return name != ""
}
