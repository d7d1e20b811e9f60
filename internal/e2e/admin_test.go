package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/deployment"
)

// TestOperatorsHaveAListenerOfTheirOwn: with SETTLE_ADMIN_ADDRESS the running
// binary serves operators there, and only there; without it nobody does.
func TestOperatorsHaveAListenerOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := setup(t, deployment.Options{})
	admin := "http://" + deployment.FreeAddress(t)
	const merchants = "/v1/admin/merchants"
	operator := strings.TrimSpace(d.Run(t, "keys", "create", "--admin", "--name", "alice"))
	if status, _ := request(t, "GET", admin+merchants, operator, ""); status != 0 {
		t.Errorf("without the setting somebody answers: %d", status)
	}

	d.API.Stop()
	d.API.Start("SETTLE_ADMIN_ADDRESS=" + strings.TrimPrefix(admin, "http://"))
	eventually(t, func() bool {
		one, _ := request(t, "GET", admin+"/health", "", "")
		other, _ := request(t, "GET", d.APIURL+"/health", "", "")
		return one == http.StatusOK && other == http.StatusOK
	}, "both listeners answer")
	status, made := request(t, "POST", admin+merchants, operator, `{"name":"Example Ltd"}`)
	if status != http.StatusCreated {
		t.Fatalf("create: %d %v", status, made)
	}
	status, key := request(t, "POST", admin+merchants+"/"+made["id"].(string)+"/keys", operator, `{"mode":"test"}`)
	if status != http.StatusCreated {
		t.Fatalf("key: %d %v", status, key)
	}
	merchant := key["key"].(string)
	for _, r := range []struct {
		url, key string
		want     int
	}{
		{d.APIURL + "/v1/balances", merchant, http.StatusOK},
		{d.APIURL + "/v1/balances", operator, http.StatusUnauthorized},
		{d.APIURL + merchants, operator, http.StatusNotFound},
		{admin + merchants, merchant, http.StatusUnauthorized},
		{admin + "/v1/balances", merchant, http.StatusNotFound},
	} {
		if status, body := request(t, "GET", r.url, r.key, ""); status != r.want {
			t.Errorf("GET %s: %d, want %d: %v", r.url, status, r.want, body)
		}
	}
	d.API.Stop()
	if status, _ := request(t, "GET", admin+"/health", "", ""); status != 0 {
		t.Errorf("after the stop somebody answers: %d", status)
	}
}

// request sends JSON and reads the answer. The status is 0 if nobody listens.
func request(t *testing.T, method, url, key, body string) (status int, answer map[string]any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp.StatusCode, answer
}
