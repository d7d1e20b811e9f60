package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// problemType is the media type of RFC 9457.
const problemType = "application/problem+json"

// FieldError is what is wrong with one field. Pointer is an RFC 6901 JSON
// Pointer in URI fragment form for the body ("#/destinations/0/address"), and
// "query:limit", "header:Idempotency-Key" or "path:id" elsewhere.
type FieldError struct {
	Pointer string `json:"pointer" example:"#/destinations/0/address"`
	Code    Code   `json:"code" example:"address_bad_checksum"`
	Detail  string `json:"detail"`
}

// Problem is the one shape of every error (RFC 9457). It is also an error, so
// handlers may return it.
type Problem struct {
	Type       string       `json:"type" format:"uri" doc:"URL that explains the code" example:"https://pay.example.com/docs/errors#insufficient_funds"`
	Title      string       `json:"title" doc:"What happened, the same for every occurrence of the code"`
	Status     int          `json:"status" doc:"HTTP status" example:"422"`
	Detail     string       `json:"detail" doc:"What happened this time and what to do"`
	Instance   string       `json:"instance" doc:"Path of the request"`
	Code       Code         `json:"code" doc:"Stable; see the error catalogue" example:"insufficient_funds"`
	RequestID  string       `json:"request_id"`
	Errors     []FieldError `json:"errors,omitempty" doc:"What is wrong with which field"`
	ExistingID string       `json:"existing_id,omitempty" doc:"The object that an Idempotency-Key made before"`

	retryAfter int   // seconds; 0: no header
	cause      error // for the log only
}

// fail makes a problem of a code; detail defaults to the code's remedy.
func fail(code Code, detail string) *Problem {
	info := codeByName[code]
	if detail == "" {
		detail = info.Remedy
	}
	p := &Problem{Title: info.Title, Status: info.Status, Detail: detail, Code: code}
	if info.Status == http.StatusServiceUnavailable {
		p.retryAfter = 2
	}
	return p
}

// failFields makes a problem of field errors: under the code of the only one,
// or as validation_failed.
func failFields(errs []FieldError) *Problem {
	if len(errs) == 1 {
		p := fail(errs[0].Code, errs[0].Detail)
		p.Errors = errs
		return p
	}
	p := fail(ValidationFailed, "")
	p.Errors = errs
	return p
}

func (p *Problem) because(err error) *Problem {
	p.cause = err
	return p
}

// Error implements error: what is wrong with each field, or else the detail.
func (p *Problem) Error() string {
	if len(p.Errors) == 0 {
		return string(p.Code) + ": " + p.Detail
	}
	parts := make([]string, len(p.Errors))
	for n, e := range p.Errors {
		parts[n] = e.Pointer + ": " + e.Detail
	}
	return string(p.Code) + ": " + strings.Join(parts, " ")
}

// Unwrap returns what caused the problem; it is not shown to the client.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

// complete fills in what depends on the request.
func (p *Problem) complete(publicURL, path, requestID string) {
	p.Type = publicURL + "/docs/errors#" + string(p.Code)
	p.Instance = path
	p.RequestID = requestID
}

// headers sets the headers that belong to the status.
func (p *Problem) headers(h http.Header) {
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="settle"`)
	}
}

// write sends the problem outside huma: unknown routes, panics.
func (p *Problem) write(w http.ResponseWriter) {
	p.headers(w.Header())
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client may be gone
}

func init() {
	// huma's own errors (validation, media types, body size) take our shape.
	huma.NewError = func(status int, msg string, errs ...error) huma.StatusError {
		return fromHuma(status, msg, errs)
	}
	huma.DefaultArrayNullable = false
}

// byStatus are the codes of what huma refuses before or instead of looking at
// single fields.
var byStatus = map[int]Code{
	http.StatusBadRequest:            MalformedRequest,
	http.StatusRequestTimeout:        RequestTimeout,
	http.StatusRequestEntityTooLarge: RequestTooLarge,
	http.StatusUnsupportedMediaType:  UnsupportedMediaType,
}

func fromHuma(status int, msg string, errs []error) *Problem {
	if code, ok := byStatus[status]; ok {
		detail := ""
		if code == MalformedRequest && len(errs) > 0 {
			detail = "The body cannot be read: " + messageOf(errs[0])
		}
		return fail(code, detail)
	}
	var fields []FieldError
	for _, err := range errs {
		var d huma.ErrorDetailer
		if errors.As(err, &d) {
			fields = append(fields, fieldOf(d.ErrorDetail()))
		} else if err != nil {
			return problemOf(err)
		}
	}
	if status == http.StatusUnprocessableEntity && len(fields) > 0 {
		return failFields(fields)
	}
	p := fail(InternalError, "")
	if status != http.StatusInternalServerError && status != 0 {
		p.Status, p.Title, p.Detail = status, http.StatusText(status), msg
	}
	return p
}

func messageOf(err error) string {
	var d huma.ErrorDetailer
	if errors.As(err, &d) {
		return d.ErrorDetail().Message
	}
	return err.Error()
}

var (
	missing    = regexp.MustCompile(`^expected required property (\S+) to be present$`)
	amountPath = regexp.MustCompile(`^#/(amount|max_amount|max_fee|max_fee_per_day|review_above)$`)
)

// fieldOf gives huma's finding our pointer and code.
func fieldOf(d *huma.ErrorDetail) FieldError {
	f := FieldError{Pointer: pointer(d.Location), Code: FieldInvalid, Detail: sentence(d.Message)}
	where, name, _ := strings.Cut(d.Location, ".")
	if where != "body" {
		f.Code = ParameterInvalid
		if strings.EqualFold(name, idempotencyHeader) {
			f.Code, f.Detail = IdempotencyKeyInvalid, ""
			if strings.HasPrefix(d.Message, "required ") {
				f.Code = IdempotencyKeyMissing
			}
			f.Detail = codeByName[f.Code].Remedy
		}
		return f
	}
	switch m := missing.FindStringSubmatch(d.Message); {
	case m != nil:
		f.Code, f.Detail = FieldMissing, "The field is required."
		f.Pointer += "/" + m[1]
	case d.Message == "unexpected property":
		f.Code, f.Detail = FieldUnknown, codeByName[FieldUnknown].Remedy
	case amountPath.MatchString(f.Pointer):
		f.Code, f.Detail = AmountMalformed, codeByName[AmountMalformed].Remedy
	case strings.HasPrefix(f.Pointer, "#/metadata"):
		f.Code, f.Detail = MetadataInvalid, codeByName[MetadataInvalid].Remedy
	}
	return f
}

// pointer turns huma's "body.destinations[0].chain" into ours.
func pointer(location string) string {
	where, rest, _ := strings.Cut(location, ".")
	if where != "body" {
		return where + ":" + rest
	}
	if rest == "" {
		return "#"
	}
	return "#/" + strings.NewReplacer("[", "/", "]", "", ".", "/").Replace(rest)
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}
