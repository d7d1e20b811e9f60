package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/settlehq/settle/api"
)

// contract is the served OpenAPI document.
type contract struct {
	*openapi3.T
	operations []documented
}

// documented is an operation of the document.
type documented struct {
	method, path string
	*openapi3.Operation
}

func (o documented) String() string { return o.method + " " + o.path }

// contract loads the document from the API, and checks it by the rules of
// OpenAPI 3.1.
func (b *bench) contract() contract {
	b.t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(b.do("GET", "/openapi.json", nil).want(200).raw)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := document.Validate(b.t.Context(), openapi3.AllowExtraSiblingFields("patternDescription")); err != nil { // a keyword of huma
		b.t.Errorf("the document is no valid OpenAPI: %v", err)
	}
	c := contract{T: document}
	for _, path := range slices.Sorted(maps.Keys(document.Paths.Map())) {
		operations := document.Paths.Value(path).Operations()
		for _, method := range slices.Sorted(maps.Keys(operations)) {
			c.operations = append(c.operations, documented{method, path, operations[method]})
		}
	}
	return c
}

// body is the schema of the request's JSON, or nil.
func (o documented) body() *openapi3.SchemaRef {
	if o.RequestBody == nil {
		return nil
	}
	return o.RequestBody.Value.Content["application/json"].Schema
}

// fits checks a value against a schema.
func fits(schema *openapi3.SchemaRef, value any) error {
	return schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation(), openapi3.MultiErrors())
}

// check returns how an answer is not what the document says of the operation.
func (o documented) check(a answer) error {
	response := o.Responses.Value(strconv.Itoa(a.StatusCode))
	if response == nil {
		return fmt.Errorf("status %d is not documented: %.300s", a.StatusCode, a.raw)
	}
	if len(response.Value.Content) == 0 {
		if len(a.raw) > 0 {
			return fmt.Errorf("a body that is not documented: %.300s", a.raw)
		}
		return nil
	}
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	media := response.Value.Content[kind]
	if media == nil {
		return fmt.Errorf("the media type %q of %d is not documented", kind, a.StatusCode)
	}
	if !strings.HasSuffix(kind, "json") {
		return nil
	}
	var value any
	if err := json.Unmarshal(a.raw, &value); err != nil {
		return fmt.Errorf("%w: %.300s", err, a.raw)
	}
	if err := fits(media.Schema, value); err != nil {
		return fmt.Errorf("%w: %.300s", err, a.raw)
	}
	if kind == "application/problem+json" {
		return problemInCatalogue(a)
	}
	return nil
}

func problemInCatalogue(a answer) error {
	i := slices.IndexFunc(api.Codes(), func(c api.CodeInfo) bool { return a.json["code"] == string(c.Code) })
	if i < 0 || api.Codes()[i].Status != a.StatusCode {
		return fmt.Errorf("%d with the code %v, which the catalogue does not know so", a.StatusCode, a.json["code"])
	}
	return nil
}

var operationID = regexp.MustCompile(`^[a-z]+(-[a-z]+)+$|^[a-z]+$`)

// TestOpenAPIFollowsOurRules: what every operation of the document has.
func TestOpenAPIFollowsOurRules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	followsOurRules(t, b.contract())
	followsOurRules(t, b.operators().contract())
}

func followsOurRules(t *testing.T, c contract) {
	t.Helper()
	tags := make(map[string]bool)
	for _, tag := range c.Tags {
		tags[tag.Name] = tag.Description != ""
	}
	ids := make(map[string]documented)
	for _, o := range c.operations {
		fault := func(format string, args ...any) { t.Errorf("%s: %s", o, fmt.Sprintf(format, args...)) }
		if other, taken := ids[o.OperationID]; taken || !operationID.MatchString(o.OperationID) {
			fault("operationId %q is no kebab-case name of its own (%v)", o.OperationID, other)
		}
		ids[o.OperationID] = o
		if o.Summary == "" || strings.HasSuffix(o.Summary, ".") || len(o.Summary) > 90 {
			fault("summary %q: say it in a few words, without a full stop", o.Summary)
		}
		if len(o.Tags) != 1 || !tags[o.Tags[0]] {
			fault("tags %v: use one that the document describes", o.Tags)
		}
		if o.Security == nil && o.Tags[0] != "Service" {
			fault("needs no key")
		}
		if !hasSuccess(o) {
			fault("documents no success")
		}
		for _, status := range expectedRefusals(o) {
			r := o.Responses.Value(strconv.Itoa(status))
			if r == nil || r.Value.Content["application/problem+json"] == nil || r.Value.Content["application/problem+json"].Schema.Ref != "#/components/schemas/Problem" {
				fault("does not document %d as a Problem", status)
			}
		}
		for _, p := range o.Parameters {
			examples(p.Value.Name, p.Value.Schema, nil, fault)
		}
		if body := o.body(); body != nil {
			examples("body", body, map[string]bool{}, fault)
			if body.Value.AdditionalProperties.Has == nil || *body.Value.AdditionalProperties.Has {
				fault("accepts unknown fields")
			}
		}
		for status, r := range o.Responses.Map() {
			for kind, media := range r.Value.Content {
				examples(status+" "+kind, media.Schema, map[string]bool{}, fault)
			}
		}
	}
	text, err := json.Marshal(c.T)
	if err != nil {
		t.Fatal(err)
	}
	for name := range c.Components.Schemas {
		if ref := "#/components/schemas/" + name; !strings.Contains(string(text), `"`+ref+`"`) {
			t.Errorf("%s is used nowhere", ref)
		}
	}
}

func hasSuccess(o documented) bool {
	for status := range o.Responses.Map() {
		if strings.HasPrefix(status, "2") {
			return true
		}
	}
	return false
}

// expectedRefusals are the statuses that an operation must document, by what it takes.
func expectedRefusals(o documented) []int {
	expected := []int{http.StatusBadRequest}
	if o.Security != nil {
		expected = append(expected, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable)
	}
	if strings.Contains(o.path, "{") {
		expected = append(expected, http.StatusNotFound)
	}
	if o.body() != nil {
		expected = append(expected, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	}
	return expected
}

// examples checks those of a schema, and of what it is made of, against it.
func examples(at string, schema *openapi3.SchemaRef, seen map[string]bool, fault func(string, ...any)) {
	if schema == nil || (schema.Ref != "" && seen[schema.Ref]) {
		return
	}
	if schema.Ref != "" {
		seen[schema.Ref] = true
	}
	s := schema.Value
	for _, e := range s.Examples {
		if err := fits(schema, e); err != nil {
			fault("the example %v of %s: %v", e, at, err)
		}
	}
	if s.Default != nil {
		if err := fits(schema, s.Default); err != nil {
			fault("the default of %s: %v", at, err)
		}
	}
	for name, p := range s.Properties {
		examples(at+"."+name, p, seen, fault)
	}
	examples(at+"[]", s.Items, seen, fault)
}
