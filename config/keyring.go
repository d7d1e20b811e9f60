package config

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var keyID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,32}$`)

// keyringError says what is wrong with a key list without quoting it.
type keyringError struct{ problem string }

func (e keyringError) Error() string { return e.problem }

// parseKeyring reads "id:hex,id2:hex".
func parseKeyring(s string) (any, error) {
	var out Keyring
	for i, item := range strings.Split(s, ",") {
		id, digits, ok := strings.Cut(strings.TrimSpace(item), ":")
		if !ok || !keyID.MatchString(id) {
			return nil, keyringError{fmt.Sprintf("entry %d is not id:hex", i+1)}
		}
		key, err := hex.DecodeString(digits)
		if err != nil || len(key) == 0 {
			return nil, keyringError{fmt.Sprintf("the key of entry %d is not hex", i+1)}
		}
		if slices.ContainsFunc(out, func(n NamedKey) bool { return n.ID == id }) {
			return nil, keyringError{fmt.Sprintf("entry %d repeats the id %q", i+1, id)}
		}
		out = append(out, NamedKey{ID: id, Key: key})
	}
	return out, nil
}
