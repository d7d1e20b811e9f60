package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
)

// cursor is a place in a list. It is opaque to clients and bound to the list
// and its filters, so that a place in one list is never read as one in another.
type cursor[K any] struct {
	Version  int    `json:"v"`
	Resource string `json:"r"`
	Filters  []byte `json:"f"` // hash
	Key      K      `json:"k"`
}

const cursorVersion = 1

func encodeCursor[K any](resource string, filters any, key K) string {
	text, _ := json.Marshal(cursor[K]{cursorVersion, resource, hashFilters(filters), key}) // plain fields cannot fail
	return base64.RawURLEncoding.EncodeToString(text)
}

// decodeCursor reads a cursor of this resource and these filters; nil for "".
// at says where it was given, for the error.
func decodeCursor[K any](at, text, resource string, filters any) (*K, error) {
	if text == "" {
		return nil, nil
	}
	var c cursor[K]
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Version != cursorVersion || c.Resource != resource || string(c.Filters) != string(hashFilters(filters)) {
		p := fail(CursorInvalid, "")
		p.Errors = []FieldError{{at, CursorInvalid, p.Detail}}
		return nil, p
	}
	return &c.Key, nil
}

// list is one list, read page by page: what it is of, and all that chooses its rows.
type list[K any] struct {
	resource string
	filters  any
}

// place reads where a page begins; nil: at the beginning.
func (l list[K]) place(cursor string) (*K, error) {
	return decodeCursor[K]("query:cursor", cursor, l.resource, l.filters)
}

// pageOf says of a page's rows whether others follow, and where: behind the place
// of the last.
func pageOf[R, K any](l list[K], rows []R, more bool, placeOf func(R) K) Page {
	p := Page{Object: "list", HasMore: more}
	if more {
		p.NextCursor = encodeCursor(l.resource, l.filters, placeOf(rows[len(rows)-1]))
	}
	return p
}

func hashFilters(filters any) []byte {
	text, _ := json.Marshal(filters) // structs of strings cannot fail
	sum := sha256.Sum256(text)
	return sum[:9]
}
