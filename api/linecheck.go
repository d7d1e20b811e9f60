package api

import (
	"encoding/json"
	"errors"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/settlehq/settle/payment"
)

// lineCheck judges lines as create judges a request, apart from what a chain must
// be asked about: that is checked when the line becomes a payment.
type lineCheck struct {
	s      *Server
	limit  *payment.Amount
	schema *huma.Schema
	path   *huma.PathBuffer
	result huma.ValidateResult
}

func (s *Server) newLineCheck(limit *payment.Amount) *lineCheck {
	return &lineCheck{s: s, limit: limit, path: huma.NewPathBuffer(make([]byte, 0, 128), 0),
		schema: s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[LineRequest](), true, "")}
}

// line makes a line of a batch out of an uploaded one.
func (c *lineCheck) line(n int, up uploadedLine) payment.BatchLine {
	l := payment.BatchLine{Line: n, Destinations: []payment.Destination{}, Metadata: map[string]string{}}
	var errs []FieldError
	if up.fault != nil {
		errs = []FieldError{*up.fault}
	} else {
		errs = c.read(up.order, &l)
		for i := range errs {
			if up.locate != nil {
				errs[i].Pointer = up.locate(errs[i].Pointer)
			}
		}
	}
	if len(errs) > 0 {
		// Its reference, which tells the line, and nothing else that might not be storable.
		reference := l.Reference
		if len(checkText("", reference)) > 0 {
			reference = ""
		}
		l = payment.BatchLine{Line: n, Destinations: []payment.Destination{}, Metadata: map[string]string{}, Reference: reference}
		l.Errors, _ = json.Marshal(errs) // strings cannot fail
	}
	return l
}

// read understands an order, and collects all that is wrong.
func (c *lineCheck) read(order []byte, l *payment.BatchLine) []FieldError {
	var value any
	if err := json.Unmarshal(order, &value); err != nil {
		return []FieldError{{"#", LineMalformed, sentence(err.Error())}}
	}
	c.result.Reset()
	c.path.Reset()
	c.path.Push("body")
	huma.Validate(c.s.api.OpenAPI().Components.Schemas, c.schema, c.path, huma.ModeWriteToServer, value, &c.result)
	var errs []FieldError
	for _, err := range c.result.Errors {
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			errs = append(errs, fieldOf(d.ErrorDetail()))
		}
	}
	if m, ok := value.(map[string]any); ok {
		l.Reference, _ = m["reference"].(string)
	}
	if len(errs) > 0 {
		return errs
	}
	var r LineRequest
	if err := json.Unmarshal(order, &r); err != nil {
		return []FieldError{{"#", LineMalformed, sentence(err.Error())}}
	}
	r.fill()
	o, errs := c.s.understandLine(r, c.limit)
	errs = append(errs, c.addresses(o)...)
	if len(errs) > 0 {
		return errs
	}
	l.Amount, l.Destinations, l.Allowed, l.MaxFee, l.Deadline, l.Priority = o.amount, o.destinations, o.allowed, o.maxFee, r.Deadline, r.Priority
	if r.Metadata != nil {
		l.Metadata = r.Metadata
	}
	return nil
}

// addresses puts destinations into their canonical form, and collects those that
// are refused without asking.
func (c *lineCheck) addresses(o order) (errs []FieldError) {
	for i := range o.destinations {
		d := &o.destinations[i]
		canonical, err := c.s.destinations.ReadAddress(d.Chain, d.Address)
		var no *payment.AddressError
		if errors.As(err, &no) {
			errs = append(errs, addressError(o.fields[i], no))
		} else if err == nil {
			d.Address = canonical
		}
	}
	return errs
}
