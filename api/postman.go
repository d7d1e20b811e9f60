package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A Postman collection, version 2.1: a folder per tag, a request per operation.
type (
	postman struct {
		Info     postmanInfo   `json:"info"`
		Auth     postmanAuth   `json:"auth"`
		Variable []postmanPair `json:"variable"`
		Item     []postmanItem `json:"item"`
	}
	postmanInfo struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Schema      string `json:"schema"`
	}
	postmanAuth struct {
		Type   string        `json:"type"` // bearer or noauth
		Bearer []postmanPair `json:"bearer,omitempty"`
	}
	postmanPair struct {
		Key         string `json:"key"`
		Value       string `json:"value"`
		Description string `json:"description,omitempty"`
		Disabled    bool   `json:"disabled,omitempty"`
	}
	postmanItem struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Item        []postmanItem   `json:"item,omitempty"` // of a folder
		Request     *postmanRequest `json:"request,omitempty"`
	}
	postmanRequest struct {
		Method      string        `json:"method"`
		Description string        `json:"description,omitempty"`
		Auth        *postmanAuth  `json:"auth,omitempty"` // default: the collection's
		Header      []postmanPair `json:"header"`
		URL         postmanURL    `json:"url"`
		Body        *postmanBody  `json:"body,omitempty"`
	}
	postmanURL struct {
		Raw      string        `json:"raw"`
		Host     []string      `json:"host"`
		Path     []string      `json:"path"`
		Query    []postmanPair `json:"query,omitempty"`
		Variable []postmanPair `json:"variable,omitempty"`
	}
	postmanBody struct {
		Mode    string         `json:"mode"`
		Raw     string         `json:"raw"`
		Options map[string]any `json:"options"`
	}
)

// postmanCollection makes the collection of the document, with the variables
// baseUrl and apiKey. What is required is filled in from the document's
// examples; optional parameters are there, switched off.
func postmanCollection(document *huma.OpenAPI, baseURL string) ([]byte, error) {
	c := postman{
		Info: postmanInfo{document.Info.Title, document.Info.Description, "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
		Auth: postmanAuth{"bearer", []postmanPair{{Key: "token", Value: "{{apiKey}}"}}},
		Variable: []postmanPair{{Key: "baseUrl", Value: baseURL},
			{Key: "apiKey", Value: "", Description: keyFormat(document)}},
	}
	for _, tag := range operations(document) {
		folder := postmanItem{Name: tag.Name, Description: tag.Description}
		for _, op := range tag.Operations {
			request, err := postmanRequestOf(document, op)
			if err != nil {
				return nil, fmt.Errorf("postman: %s: %w", op.OperationID, err)
			}
			folder.Item = append(folder.Item, postmanItem{Name: op.Summary, Request: request})
		}
		c.Item = append(c.Item, folder)
	}
	text, err := json.MarshalIndent(c, "", "  ")
	return append(text, '\n'), err
}

func postmanRequestOf(document *huma.OpenAPI, op docOperation) (*postmanRequest, error) {
	path := strings.NewReplacer("{", ":", "}", "").Replace(op.Path)
	r := &postmanRequest{Method: op.Method, Description: op.Description, Header: []postmanPair{},
		URL: postmanURL{Raw: "{{baseUrl}}" + path, Host: []string{"{{baseUrl}}"}, Path: strings.Split(path[1:], "/")}}
	if len(op.Security) == 0 {
		r.Auth = &postmanAuth{Type: "noauth"}
	}
	for _, p := range op.Parameters {
		pair := postmanPair{Key: p.Name, Value: parameterText(example(document, p.Schema)), Description: p.Description, Disabled: !p.Required}
		switch {
		case p.Name == idempotencyHeader:
			pair.Value = "{{$guid}}" // a new one each time
			r.Header = append(r.Header, pair)
		case p.In == "header":
			r.Header = append(r.Header, pair)
		case p.In == "query":
			r.URL.Query = append(r.URL.Query, pair)
		default:
			r.URL.Variable = append(r.URL.Variable, pair)
		}
	}
	if op.RequestBody == nil {
		return r, nil
	}
	body, err := json.MarshalIndent(example(document, op.RequestBody.Content["application/json"].Schema), "", "  ")
	if err != nil {
		return nil, err
	}
	r.Header = append(r.Header, postmanPair{Key: "Content-Type", Value: "application/json"})
	r.Body = &postmanBody{"raw", string(body), map[string]any{"raw": map[string]string{"language": "json"}}}
	return r, nil
}

// parameterText writes a parameter's value: lists with commas.
func parameterText(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var parts []string
	for _, item := range list {
		parts = append(parts, fmt.Sprint(item))
	}
	return strings.Join(parts, ",")
}

// example is a value of a schema: its example, its default, its first choice,
// or one that is put together from what is required and what has an example.
func example(document *huma.OpenAPI, schema *huma.Schema) any {
	s := resolve(document, schema)
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Default != nil:
		return s.Default
	case len(s.Enum) > 0:
		return s.Enum[0]
	}
	switch s.Type {
	case huma.TypeObject:
		object := make(map[string]any)
		for name, p := range s.Properties {
			if slices.Contains(s.Required, name) || len(resolve(document, p).Examples) > 0 {
				object[name] = example(document, p)
			}
		}
		return object
	case huma.TypeArray:
		return []any{example(document, s.Items)}
	case huma.TypeInteger, huma.TypeNumber:
		if s.Minimum != nil {
			return *s.Minimum
		}
		return 1
	case huma.TypeBoolean:
		return true
	}
	if s.Format == "date-time" {
		return "2026-01-01T00:00:00Z"
	}
	return ""
}
