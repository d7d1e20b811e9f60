package api

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/settlehq/settle/payment"
)

// readAhead is how much more than a line a parser may have in memory.
const readAhead = 64 << 10

const csvExample = "amount,asset,chain,address,reference\n" +
	"12.50,USDC,ethereum,0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed,invoice-4711\n"

// uploadedLine is a line as it was uploaded: the JSON of an order, or what is
// wrong with its form.
type uploadedLine struct {
	order []byte
	fault *FieldError
	// locate names the place in the file that a pointer of the order is about; nil:
	// it is the pointer.
	locate func(pointer string) string
}

// lineReader reads lines one by one. next returns io.EOF behind the last one; any
// other error is about the whole file.
type lineReader interface {
	next() (uploadedLine, error)
}

// lines begins to parse the upload. What belongs to the batch as a whole goes to
// b, at the latest with the end of the file.
func (u *upload) lines(b *payment.Batch) (lineReader, error) {
	text := bufio.NewReader(u)
	switch mark, _ := text.Peek(3); {
	case bytes.Equal(mark, []byte("\xEF\xBB\xBF")):
		_, _ = text.Discard(3) // they were peeked at
	case len(mark) >= 2 && (bytes.Equal(mark[:2], []byte("\xFF\xFE")) || bytes.Equal(mark[:2], []byte("\xFE\xFF"))):
		return nil, fail(MalformedRequest, "The body is UTF-16: save it as UTF-8.")
	}
	if u.media == csvType {
		r := csv.NewReader(text)
		u.parsed = r.InputOffset
		return newCSVLines(r, u)
	}
	d := json.NewDecoder(text)
	u.parsed = d.InputOffset
	return &jsonLines{d: d, b: b}, nil
}

// jsonLines reads {"reference": ..., "metadata": ..., "lines": [...]}.
type jsonLines struct {
	d       *json.Decoder
	b       *payment.Batch
	inLines bool
	seen    []string
}

func (r *jsonLines) next() (uploadedLine, error) {
	for {
		if r.inLines {
			if r.d.More() {
				return r.line()
			}
			r.inLines = false
			if _, err := r.d.Token(); err != nil { // ]
				return uploadedLine{}, unexpected(err)
			}
		}
		if err := r.field(); err != nil {
			return uploadedLine{}, err
		}
	}
}

func (r *jsonLines) line() (uploadedLine, error) {
	var raw json.RawMessage
	if err := r.d.Decode(&raw); err != nil {
		return uploadedLine{}, unexpected(err)
	}
	if !utf8.Valid(raw) {
		return uploadedLine{fault: &FieldError{"#", LineMalformed, "It is not UTF-8."}}, nil
	}
	return uploadedLine{order: raw}, nil
}

// field reads up to the first line, or one field that is not lines; io.EOF behind
// the last one.
func (r *jsonLines) field() error {
	if r.seen == nil {
		if err := r.delim('{'); err != nil {
			return err
		}
		r.seen = []string{}
	}
	if !r.d.More() {
		if err := r.delim('}'); err != nil {
			return err
		}
		if _, err := r.d.Token(); !errors.Is(err, io.EOF) {
			return fail(MalformedRequest, "The body cannot be read: something follows behind the object.")
		}
		return io.EOF
	}
	token, err := r.d.Token()
	if err != nil {
		return unexpected(err)
	}
	name, _ := token.(string)
	at := "#/" + name
	if slices.Contains(r.seen, name) {
		return failFields([]FieldError{{at, FieldInvalid, "The field is given twice."}})
	}
	r.seen = append(r.seen, name)
	var errs []FieldError
	switch name {
	case "lines":
		r.inLines = true
		return r.delim('[')
	case "reference":
		if err := r.d.Decode(&r.b.Reference); err != nil || utf8.RuneCountInString(r.b.Reference) > 200 {
			errs = []FieldError{{at, FieldInvalid, "Use a string of up to 200 characters."}}
		} else {
			errs = checkText(at, r.b.Reference)
		}
	case "metadata":
		if err := r.d.Decode(&r.b.Metadata); err != nil {
			errs = []FieldError{{at, MetadataInvalid, codeByName[MetadataInvalid].Remedy}}
		} else {
			errs = checkMetadata(r.b.Metadata)
		}
	default:
		errs = []FieldError{{at, FieldUnknown, codeByName[FieldUnknown].Remedy}}
	}
	if len(errs) > 0 {
		return failFields(errs)
	}
	return nil
}

func (r *jsonLines) delim(want json.Delim) error {
	token, err := r.d.Token()
	if err != nil {
		return unexpected(err)
	}
	if token != want {
		return fail(MalformedRequest, fmt.Sprintf("The body cannot be read: %s is expected at byte %d.", want, r.d.InputOffset()))
	}
	return nil
}

// unexpected is the error of a text that ends too early, which must not be taken
// for the end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// csvLines reads rows under a header.
type csvLines struct {
	r       *csv.Reader
	up      *upload
	columns []string // as the header names them
}

// requiredColumns of a CSV file; the others are in csvColumn.
var requiredColumns = []string{"amount", "asset", "chain", "address"}

func newCSVLines(r *csv.Reader, up *upload) (*csvLines, error) {
	r.FieldsPerRecord = -1 // compared below, as an error of the line
	header, err := r.Read()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, up.problem(err)
	}
	var errs []FieldError
	columns := make([]string, len(header))
	metadata := map[string]string{}
	for i, text := range header {
		name := strings.TrimSpace(text)
		switch {
		case slices.Contains(columns[:i], name):
			errs = append(errs, FieldError{"column:" + name, FieldInvalid, "The column is given twice."})
		case !csvColumn(name):
			errs = append(errs, FieldError{"column:" + strings.ToValidUTF8(name, "?"), FieldUnknown, codeByName[FieldUnknown].Remedy})
		}
		columns[i] = name
		if key, ok := strings.CutPrefix(name, "metadata."); ok {
			metadata[key] = ""
		}
	}
	for _, name := range requiredColumns {
		if !slices.Contains(columns, name) {
			errs = append(errs, FieldError{"column:" + name, FieldMissing, "The column is required."})
		}
	}
	if len(checkMetadata(metadata)) > 0 {
		errs = append(errs, FieldError{"column:metadata.*", MetadataInvalid, codeByName[MetadataInvalid].Remedy})
	}
	if len(errs) > 0 {
		return nil, failFields(errs)
	}
	return &csvLines{r: r, up: up, columns: columns}, nil
}

// csvColumn reports whether a column is known. chain_2 to chain_16 and address_2
// to address_16 are further destinations.
func csvColumn(name string) bool {
	switch name {
	case "amount", "asset", "reference", "priority", "max_fee", "deadline":
		return true
	}
	if strings.HasPrefix(name, "metadata.") {
		return utf8.ValidString(name)
	}
	for n := range 16 {
		if name == "chain"+suffix(n) || name == "address"+suffix(n) {
			return true
		}
	}
	return false
}

// suffix is of the columns of the nth destination, from 0.
func suffix(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("_%d", n+1)
}

func (r *csvLines) next() (uploadedLine, error) {
	row, err := r.r.Read()
	var bad *csv.ParseError
	switch {
	case errors.As(err, &bad):
		return uploadedLine{fault: &FieldError{"#", LineMalformed, sentence(fmt.Sprintf("row %d of the file, character %d: %v", bad.Line, bad.Column, bad.Err))}}, nil
	case err != nil:
		return uploadedLine{}, err
	case len(row) != len(r.columns):
		return uploadedLine{fault: &FieldError{"#", LineMalformed, fmt.Sprintf("It has %d fields, and the header %d.", len(row), len(r.columns))}}, nil
	}
	cells := map[string]string{}
	for i, name := range r.columns {
		if !utf8.ValidString(row[i]) {
			return uploadedLine{fault: &FieldError{"column:" + name, LineMalformed, "It is not UTF-8."}}, nil
		}
		if row[i] != "" {
			cells[name] = row[i]
		}
	}
	return r.order(cells)
}

// order makes an order of the cells that are not empty.
func (r *csvLines) order(cells map[string]string) (uploadedLine, error) {
	order := map[string]any{}
	for _, name := range []string{"amount", "asset", "reference", "priority", "max_fee", "deadline"} {
		if text, ok := cells[name]; ok {
			order[name] = text
		}
	}
	var suffixes []string // of the destinations
	destinations := []map[string]string{}
	for n := range 16 {
		d := map[string]string{}
		for _, name := range []string{"chain", "address"} {
			if text, ok := cells[name+suffix(n)]; ok {
				d[name] = text
			}
		}
		if n == 0 || len(d) > 0 {
			destinations, suffixes = append(destinations, d), append(suffixes, suffix(n))
		}
	}
	order["destinations"] = destinations
	metadata := map[string]string{}
	for name, text := range maps.All(cells) {
		if key, ok := strings.CutPrefix(name, "metadata."); ok {
			metadata[key] = text
		}
	}
	if len(metadata) > 0 {
		order["metadata"] = metadata
	}
	raw, err := json.Marshal(order)
	return uploadedLine{order: raw, locate: func(pointer string) string { return column(pointer, suffixes) }}, err
}

// column names the column that a pointer of the order is about.
func column(pointer string, suffixes []string) string {
	part := strings.Split(strings.TrimPrefix(pointer, "#/"), "/")
	switch {
	case part[0] == "metadata" && len(part) > 1:
		return "column:metadata." + strings.NewReplacer("~1", "/", "~0", "~").Replace(part[1])
	case part[0] == "destinations" && len(part) > 1:
		for n, s := range suffixes {
			if part[1] == fmt.Sprint(n) {
				return "column:" + cmp.Or(strings.Join(part[2:], "."), "chain") + s
			}
		}
	}
	return "column:" + part[0]
}
