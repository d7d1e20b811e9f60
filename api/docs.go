package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gin-gonic/gin"
)

//go:embed docs.html
var docsHTML string

// docsPage needs nothing from elsewhere: no script, no font, no CDN.
var docsPage = template.Must(template.New("docs").Parse(docsHTML))

// docsPolicy forbids the page to load or run anything.
const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// spec is the rendered OpenAPI document.
type spec struct{ yaml, json, postman, docs, errors []byte }

// registerDocs renders the documents, once all operations are registered, and
// serves them. baseURL is where the Postman collection expects the API.
func (s *surface) registerDocs(baseURL string) error {
	s.relax()
	document := s.api.OpenAPI()
	var err error
	if s.spec.yaml, err = document.YAML(); err != nil {
		return fmt.Errorf("openapi: %w", err)
	}
	if s.spec.json, err = json.Marshal(document); err != nil {
		return fmt.Errorf("openapi: %w", err)
	}
	if s.spec.postman, err = postmanCollection(document, baseURL); err != nil {
		return err
	}
	if s.spec.docs, err = render("docs", docPage{document.Info.Title, document.Info.Description, keyFormat(document), operations(document)}); err != nil {
		return err
	}
	if s.spec.errors, err = render("errors", codes); err != nil {
		return err
	}
	serve := func(path, contentType string, content []byte) {
		s.engine.GET(path, func(c *gin.Context) {
			c.Header("Content-Security-Policy", docsPolicy)
			c.Data(http.StatusOK, contentType, content)
		})
	}
	serve("/openapi.yaml", "application/yaml", s.spec.yaml)
	serve("/openapi.json", "application/json", s.spec.json)
	serve("/postman.json", "application/json", s.spec.postman)
	serve("/docs", "text/html; charset=utf-8", s.spec.docs)
	serve("/docs/errors", "text/html; charset=utf-8", s.spec.errors)
	return nil
}

func render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := docsPage.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// docPage is what the page shows.
type docPage struct {
	Title, Description, KeyFormat string
	Tags                          []docTag
}

// keyFormat shows what the document's API keys look like.
func keyFormat(document *huma.OpenAPI) string {
	return document.Components.SecuritySchemes[securityScheme].BearerFormat
}

// docOperation is an operation as the page shows it.
type docOperation struct {
	Method, Path string
	*huma.Operation
	Fields []docField // of the request body
	Status []string
}

type docField struct {
	Name, Type, Doc string
	Required        bool
}

type docTag struct {
	Name, Description string
	Operations        []docOperation
}

// operations sorts the operations by tag, path and method.
func operations(document *huma.OpenAPI) []docTag {
	var all []docOperation
	for path, item := range document.Paths {
		for method, op := range map[string]*huma.Operation{"GET": item.Get, "POST": item.Post, "PUT": item.Put, "PATCH": item.Patch, "DELETE": item.Delete} {
			if op != nil {
				all = append(all, docOperation{method, path, op, fields(document, op), statuses(op)})
			}
		}
	}
	slices.SortFunc(all, func(a, b docOperation) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	var tags []docTag
	for _, t := range document.Tags {
		tag := docTag{Name: t.Name, Description: t.Description}
		for _, op := range all {
			if slices.Contains(op.Tags, t.Name) {
				tag.Operations = append(tag.Operations, op)
			}
		}
		tags = append(tags, tag)
	}
	return tags
}

func statuses(op *huma.Operation) []string {
	var out []string
	for status := range op.Responses {
		out = append(out, status)
	}
	slices.Sort(out)
	return out
}

func fields(document *huma.OpenAPI, op *huma.Operation) []docField {
	if op.RequestBody == nil {
		return nil
	}
	schema := resolve(document, op.RequestBody.Content["application/json"].Schema)
	var out []docField
	for name, p := range schema.Properties {
		r := resolve(document, p)
		out = append(out, docField{name, r.Type, p.Description, slices.Contains(schema.Required, name)})
	}
	slices.SortFunc(out, func(a, b docField) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func resolve(document *huma.OpenAPI, s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		return document.Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}
