package api_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

const list = "/v1/payment_intents"

func TestKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if !regexp.MustCompile(`^sk_live_[0-9A-Za-z]{46}$`).MatchString(b.key) {
		t.Errorf("key %s", b.key)
	}
	flipped := []byte(b.key)
	flipped[20] ^= 1
	forged := b.forge(b.key)

	b.do("GET", list, nil, func(r *http.Request) { r.Header.Del("Authorization") }).refused(401, api.Unauthenticated, "")
	b.do("GET", list, nil, header("Authorization", "Basic "+b.key)).refused(401, api.Unauthenticated, "")
	a := b.do("GET", list, nil, b.as("sk_live_short"))
	a.refused(401, api.APIKeyMalformed, "")
	if a.Header.Get("WWW-Authenticate") == "" {
		t.Error("no WWW-Authenticate")
	}
	b.do("GET", list, nil, b.as(string(flipped))).refused(401, api.APIKeyMalformed, "")
	b.do("GET", list, nil, b.as(forged)).refused(401, api.APIKeyInvalid, "")
	b.do("GET", list, nil, b.as(b.stranger())).refused(401, api.APIKeyInvalid, "")
	b.do("GET", list, nil, b.as(b.key)).want(200)
	b.do("GET", list, nil, header("Authorization", "bearer "+b.key)).want(200)
}

// forge is a key whose id is known and whose secret is not the stored one.
func (b *bench) forge(other string) string {
	b.t.Helper()
	forged := b.issue(b.merchant.ID, payment.Live)
	if _, err := b.sql.Exec(b.t.Context(), "UPDATE api_keys SET hash = (SELECT hash FROM api_keys WHERE id = $1) WHERE id = $2", other[8:16], forged[8:16]); err != nil {
		b.t.Fatal(err)
	}
	return forged
}

// stranger is a well-formed key that no database row knows.
func (b *bench) stranger() string {
	b.t.Helper()
	key := b.issue(b.merchant.ID, payment.Live)
	if _, err := b.sql.Exec(b.t.Context(), "DELETE FROM api_keys WHERE id = $1", key[8:16]); err != nil {
		b.t.Fatal(err)
	}
	return key
}

func TestUseOfAKeyIsNotedOnceAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	noted := func() int64 {
		n, ok := b.keyUses.Load(b.key[8:16])
		if !ok {
			return 0
		}
		return n.(*atomic.Int64).Load()
	}
	for _, seconds := range []int64{0, 10, 35, 45} {
		b.clock.Store(seconds)
		b.do("GET", list, nil).want(200)
	}
	eventually(t, "the first use is noted", func() bool { return noted() == 1 })
	b.clock.Store(61)
	b.do("GET", list, nil).want(200)
	eventually(t, "the next minute's use is noted", func() bool { return noted() == 2 })
}

func TestKeyExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	soon := time.Now().Add(10 * time.Second)
	issued, err := api.IssueKey(t.Context(), b.store, peppers, api.KeyRequest{MerchantID: b.merchant.ID, Mode: payment.Test, ExpiresAt: &soon, Actor: "test"})
	key := issued.Text
	if err != nil || !strings.HasPrefix(key, "sk_test_") {
		t.Fatal(key, err)
	}
	b.do("GET", list, nil, b.as(key)).want(200)
	b.clock.Store(11)
	b.do("GET", list, nil, b.as(key)).refused(401, api.APIKeyInvalid, "")
}

func TestAKeyUnderAnOldPepperStillWorks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	newer := config.NamedKey{ID: "p2", Key: []byte("another pepper of 32 bytes or so")}
	rotated := append(config.Keyring{newer}, peppers...)
	issued, err := api.IssueKey(t.Context(), b.store, rotated, api.KeyRequest{MerchantID: b.merchant.ID, Mode: payment.Live, Actor: "test"})
	if err != nil {
		t.Fatal(err)
	}
	key := issued.Text
	b.do("GET", list, nil, b.as(key)).refused(401, api.APIKeyInvalid, "") // this API does not have p2 yet
	b.serve(rotated)
	b.do("GET", list, nil, b.as(key)).want(200)
	b.do("GET", list, nil).want(200)
	b.serve(config.Keyring{newer}) // who drops the old pepper drops its keys
	b.do("GET", list, nil, b.as(key)).want(200)
	b.do("GET", list, nil).refused(401, api.APIKeyInvalid, "")
}

func TestScopes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	reader := b.issue(b.merchant.ID, payment.Live, api.IntentsRead)
	b.do("GET", list, nil, b.as(reader)).want(200)
	a := b.do("POST", list, order(), idempotent("k"), b.as(reader))
	a.refused(403, api.ScopeMissing, "")
	if !strings.Contains(a.json["detail"].(string), string(api.IntentsWrite)) {
		t.Errorf("detail does not name the scope: %s", a.raw)
	}
	b.do("GET", "/v1/balances", nil, b.as(reader)).refused(403, api.ScopeMissing, "")
	b.do("POST", "/v1/webhook_endpoints", `{"url":"https://example.com"}`, b.as(reader)).refused(403, api.ScopeMissing, "")
	b.do("GET", "/v1/chains", nil, b.as(reader)).want(200)
}

func TestIssueKeyRefusesNonsense(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, r := range map[string]api.KeyRequest{
		"merchant":                              {MerchantID: "mer_nobody", Mode: payment.Test, Actor: "test"},
		"mode":                                  {MerchantID: b.merchant.ID, Mode: "prod", Actor: "test"},
		"scope":                                 {MerchantID: b.merchant.ID, Mode: payment.Test, Scopes: []api.Scope{"everything"}, Actor: "test"},
		"a merchant who may manage merchants":   {MerchantID: b.merchant.ID, Mode: payment.Live, Scopes: []api.Scope{api.AdminRead}, Actor: "test"},
		"an operator who may pay":               {Mode: store.Admin, Name: "alice", Scopes: []api.Scope{api.IntentsWrite}, Actor: "test"},
		"an operator's key with a merchant":     {MerchantID: b.merchant.ID, Mode: store.Admin, Name: "alice", Actor: "test"},
		"an operator without a name":            {Mode: store.Admin, Actor: "test"},
		"a merchant's key without its merchant": {Mode: payment.Live, Actor: "test"},
		"a time that has passed":                {MerchantID: b.merchant.ID, Mode: payment.Test, ExpiresAt: new(time.Now().Add(-time.Second)), Actor: "test"},
	} {
		if key, err := api.IssueKey(t.Context(), b.store, peppers, r); err == nil {
			t.Errorf("%s: issued %v", name, key)
		}
	}
	if _, err := api.IssueKey(t.Context(), b.store, nil, api.KeyRequest{MerchantID: b.merchant.ID, Mode: payment.Test}); err == nil {
		t.Error("issued without a pepper")
	}
}
