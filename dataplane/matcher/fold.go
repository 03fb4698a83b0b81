package matcher

// Envoy folds the case of ASCII letters only (absl::EqualsIgnoreCase), so unicode folding is no help.

func lower(c byte) byte {
	if c-'A' < 26 {
		return c + ('a' - 'A')
	}
	return c
}

// asciiLower is strings.ToLower for ASCII letters alone.
func asciiLower(s string) string {
	for i := range len(s) {
		if s[i]-'A' < 26 {
			b := []byte(s)
			for ; i < len(b); i++ {
				b[i] = lower(b[i])
			}
			return string(b)
		}
	}
	return s
}

// hasFoldPrefix tells whether s begins with prefix, which is lower case, whatever s's case.
func hasFoldPrefix(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := range len(prefix) {
		if lower(s[i]) != prefix[i] {
			return false
		}
	}
	return true
}

// containsFold tells whether part, which is lower case, occurs in s, whatever s's case.
func containsFold(s, part string) bool {
	for ; len(s) >= len(part); s = s[1:] {
		if hasFoldPrefix(s, part) {
			return true
		}
		if s == "" {
			return false
		}
	}
	return false
}
