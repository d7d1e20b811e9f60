package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/settlehq/settle/store"
)

// collected is a request of the Postman collection.
type collected struct {
	Name    string
	Request struct {
		Method string
		Header []pair
		URL    struct {
			Raw             string
			Query, Variable []pair
		}
		Body *struct{ Raw string }
	}
}

type pair struct {
	Key, Value string
	Disabled   bool
}

// collection is the served Postman collection, by method and path of the document.
func (b *bench) collection() map[string]collected {
	b.t.Helper()
	var c struct{ Item []struct{ Item []collected } }
	if err := json.Unmarshal(b.do("GET", "/postman.json", nil).want(200).raw, &c); err != nil {
		b.t.Fatal(err)
	}
	all := make(map[string]collected)
	for _, folder := range c.Item {
		for _, item := range folder.Item {
			path := strings.TrimPrefix(item.Request.URL.Raw, "{{baseUrl}}")
			for _, v := range item.Request.URL.Variable {
				path = strings.ReplaceAll(path, ":"+v.Key, "{"+v.Key+"}")
			}
			all[item.Request.Method+" "+path] = item
		}
	}
	return all
}

// send sends a collected request as Postman would, with the ids.
func (b *bench) send(item collected, ids map[string]string, changes ...with) answer {
	b.t.Helper()
	r := item.Request
	path := strings.TrimPrefix(r.URL.Raw, "{{baseUrl}}")
	for _, v := range r.URL.Variable {
		path = strings.ReplaceAll(path, ":"+v.Key, ids[v.Key])
	}
	for _, q := range r.URL.Query {
		if !q.Disabled {
			b.t.Errorf("%s: a required query parameter; send it here", item.Name)
		}
	}
	var set []with
	for _, h := range r.Header {
		if !h.Disabled {
			set = append(set, header(h.Key, strings.ReplaceAll(h.Value, "{{$guid}}", store.NewID("guid"))))
		}
	}
	var body any
	if r.Body != nil {
		body = r.Body.Raw
	}
	return b.do(r.Method, path, body, append(set, changes...)...)
}

// objects makes what the ids of a path name, new for each call: an object of a
// collection by the example of the POST that makes one.
func (b *bench) objects(requests map[string]collected, path string) map[string]string {
	b.t.Helper()
	ids := make(map[string]string)
	parts := strings.Split(path, "/")
	for i, part := range parts {
		name, isParameter := strings.CutPrefix(part, "{")
		if !isParameter {
			continue
		}
		name = strings.TrimSuffix(name, "}")
		collection := strings.Join(parts[:i], "/")
		switch item, ok := requests["POST "+collection]; {
		case ok:
			ids[name] = b.send(item, ids).want(http.StatusCreated).id()
		case collection == "/v1/events": // one of a payment's that went to an endpoint
			ids["endpoint_id"] = b.send(requests["POST /v1/webhook_endpoints"], ids).want(http.StatusCreated).id()
			d := b.do("POST", "/v1/webhook_endpoints/"+ids["endpoint_id"]+"/test", nil).want(http.StatusAccepted)
			ids[name] = d.json["event_id"].(string)
		case collection == "/v1/admin/keys": // one of a merchant's
			merchant := b.objects(requests, "/v1/admin/merchants/{id}")
			ids[name] = b.send(requests["POST /v1/admin/merchants/{id}/keys"], merchant).want(http.StatusCreated).id()
		case ids[name] == "":
			b.t.Errorf("%s: the test knows no object of %s: make one here", path, collection)
		}
	}
	return ids
}

// prepare brings what the ids name into the state that an operation is for.
func (b *bench) prepare(requests map[string]collected, o documented, ids map[string]string) {
	b.t.Helper()
	switch {
	case strings.HasSuffix(o.path, "/{id}/stream"), strings.HasSuffix(o.path, "/{id}/retry"): // of a payment that has ended
		b.do("POST", "/v1/payment_intents/"+ids["id"]+"/cancel", nil)
	case o.method == http.MethodDelete && strings.HasSuffix(o.path, "/sponsorship"):
		b.send(requests["PUT "+o.path], ids).want(http.StatusOK)
	}
}

// TestOpenAPIExamplesWork: every operation's examples, as the document and the
// Postman collection show them, are answered with success, in the documented shape.
func TestOpenAPIExamplesWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish("ethereum", 10_000_000_000_000, 900, 500_000_000, 0)
	b.publish("solana", 1, 13, 500_000_000, 0)
	b.sponsorMerchant(b.merchant.ID, 10)
	b.examplesWork()
	b.operators().examplesWork()
}

func (b *bench) examplesWork() {
	t := b.t
	requests := b.collection()
	for _, o := range b.contract().operations {
		if o.path == "/v1/events/stream" {
			continue // it has no end: TestStreamOfAllPayments
		}
		item, ok := requests[o.String()]
		if !ok {
			t.Errorf("%s is not in the Postman collection", o)
			continue
		}
		ids := b.objects(requests, o.path)
		b.prepare(requests, o, ids)
		a := b.send(item, ids)
		if err := o.check(a); err != nil || a.StatusCode >= 300 {
			t.Errorf("%s: %d %.300s: %.600v", o, a.StatusCode, a.raw, err)
		}
	}
}
