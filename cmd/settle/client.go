package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/settlehq/settle/payment"
)

// apiClient is the merchant's side of the API, as the commands need it.
type apiClient struct {
	url, key string
	http     http.Client
}

func newAPIClient() (*apiClient, error) {
	c := &apiClient{url: strings.TrimRight(os.Getenv("SETTLE_API_URL"), "/"), key: os.Getenv("SETTLE_API_KEY"), http: http.Client{Timeout: 20 * time.Second}}
	if c.url == "" {
		c.url = "http://127.0.0.1:8080"
	}
	if c.key == "" {
		return nil, errors.New("SETTLE_API_KEY is not set: give the merchant's key (sk_test_... or sk_live_...)")
	}
	return c, nil
}

// problem is an RFC 9457 answer.
type problem struct {
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Errors []struct {
		Pointer string `json:"pointer"`
		Code    string `json:"code"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

func (p problem) Error() string {
	text := fmt.Sprintf("%s: %s", p.Code, p.Detail)
	for _, e := range p.Errors {
		text += fmt.Sprintf("\n  %s: %s", e.Pointer, e.Detail)
	}
	return text
}

// call sends a request; idempotencyKey may be empty. out may be nil.
func (c *apiClient) call(ctx context.Context, method, path, idempotencyKey string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if idempotencyKey != "" {
		req.Header.Set("Idempotency-Key", idempotencyKey)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := refusal(resp); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(b, out)
}

const maxAnswer = 4 << 20 // bytes that are read of an answer

// request is a request with the merchant's key.
func (c *apiClient) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	return req, nil
}

// refusal is the error that an answer tells, as a problem if it is one.
func refusal(resp *http.Response) error {
	if resp.StatusCode < 300 {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	var p problem
	if err != nil || json.Unmarshal(b, &p) != nil || p.Code == "" {
		return fmt.Errorf("%s %s: %s", resp.Request.Method, resp.Request.URL.Path, resp.Status)
	}
	return p
}

func (c *apiClient) intent(ctx context.Context, id string) (payment.Resource, error) {
	var r payment.Resource
	return r, c.call(ctx, http.MethodGet, "/v1/payment_intents/"+id, "", nil, &r)
}

// page is a list answer.
type page[T any] struct {
	Data       []T    `json:"data"`
	HasMore    bool   `json:"has_more"`
	NextCursor string `json:"next_cursor"`
}
