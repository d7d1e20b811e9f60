package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/store"
)

// terminal is where an operator types.
type terminal struct {
	*testing.T
	store *store.Store
}

func newTerminal(t *testing.T) *terminal {
	s, url := storetest.OpenURL(t)
	t.Setenv("SETTLE_DATABASE_URL", url)
	t.Setenv("SETTLE_API_KEY_PEPPERS", "p1:"+strings.Repeat("0123456789abcdef", 4))
	return &terminal{t, s}
}

func (t *terminal) try(args ...string) (string, error) {
	var out bytes.Buffer
	root := settle()
	root.SetArgs(args)
	root.SetOut(&out)
	err := root.ExecuteContext(t.Context())
	return strings.TrimSpace(out.String()), err
}

// run is try for what must work.
func (t *terminal) run(args ...string) string {
	t.Helper()
	out, err := t.try(args...)
	if err != nil {
		t.Fatalf("settle %v: %v", args, err)
	}
	return out
}

func (t *terminal) json(into any, args ...string) {
	t.Helper()
	out := t.run(append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("settle %v is not JSON: %v\n%s", args, err, out)
	}
}

// audited returns what the audit log says was done to an object.
func (t *terminal) audited(id string) string {
	t.Helper()
	entries, err := t.store.AuditLog(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, e := range entries {
		if !strings.HasPrefix(e.Actor, "cli") {
			t.Errorf("%s by %q", e.Action, e.Actor)
		}
		actions = append(actions, e.Action)
	}
	return strings.Join(actions, " ")
}

func TestMerchantsFromTheCommandLine(t *testing.T) {
	tt := newTerminal(t)
	id := tt.run("merchants", "create", "--name", "Example Ltd", "--review-above", "100", "--max-amount", "500.5")
	if !regexp.MustCompile(`^mer_[0-9a-f]+$`).MatchString(id) {
		t.Fatalf("create prints %q", id)
	}
	tt.run("books", "deposit", "--merchant", id, "--mode", "test", "--chain", "ethereum", "--amount", "12.5", "--reference", "0xabc")
	set := tt.run("merchants", "set", id, "--review-above", "none", "--max-amount", "600")
	if !regexp.MustCompile(`(?m)^` + id + `\s+Example Ltd\s+none\s+600\.000000\s`).MatchString(set) {
		t.Errorf("set:\n%s", set)
	}
	if list := tt.run("merchants", "list"); !strings.Contains(list, "MAX AMOUNT") || !strings.Contains(list, id) {
		t.Errorf("list:\n%s", list)
	}
	var shown struct {
		Name        string
		ReviewAbove *string `json:"review_above"`
		MaxAmount   *string `json:"max_amount"`
		Balances    map[string]struct{ Available, Held string }
	}
	tt.json(&shown, "merchants", "show", id)
	if shown.Name != "Example Ltd" || shown.ReviewAbove != nil || *shown.MaxAmount != "600.000000" ||
		shown.Balances["test"].Available != "12.500000" || shown.Balances["live"].Available != "0.000000" {
		t.Errorf("show: %+v", shown)
	}
	if got := tt.audited(id); got != "merchant.created books.deposit merchant.changed" {
		t.Errorf("audit log: %s", got)
	}
	for want, args := range map[string][]string{
		"not found":              {"merchants", "set", "mer_nobody", "--name", "x"},
		"at least one of the":    {"merchants", "set", id},
		"#/max_amount: Write it": {"merchants", "set", id, "--max-amount", "lots"},
		"use table or json":      {"merchants", "list", "--output", "yaml"},
		"use test or live":       {"books", "deposit", "--merchant", id, "--mode", "prod", "--chain", "ethereum", "--amount", "1", "--reference", "r"},
		`flag(s) "name" not`:     {"merchants", "create"},
		"mer_nobody: not found":  {"books", "deposit", "--merchant", "mer_nobody", "--mode", "live", "--chain", "ethereum", "--amount", "1", "--reference", "r"},
	} {
		if _, err := tt.try(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("settle %v: %v, want %q", args, err, want)
		}
	}
}

func TestKeysFromTheCommandLine(t *testing.T) {
	tt := newTerminal(t)
	merchant := storetest.Merchant(t, tt.store, 0).ID
	key := tt.run("keys", "create", "--merchant", merchant, "--mode", "live", "--name", "ci", "--scopes", "payment_intents:read", "--expires-in", "720h")
	if !regexp.MustCompile(`^sk_live_[0-9A-Za-z]{46}$`).MatchString(key) {
		t.Fatalf("create prints %q", key)
	}
	var issued struct{ ID, Key string }
	tt.json(&issued, "keys", "roll", key, "--overlap", "1h")
	if issued.Key == key || !strings.HasPrefix(issued.Key, "sk_live_"+issued.ID) {
		t.Errorf("roll: %+v", issued)
	}
	tt.run("keys", "revoke", issued.ID, "--reason", "leaked")
	var list []struct {
		ID, State string
		Scopes    []string
		ExpiresAt *time.Time `json:"expires_at"`
	}
	tt.json(&list, "keys", "list", "--merchant", merchant)
	if len(list) != 2 || list[1].State != "valid" || time.Until(*list[1].ExpiresAt) > time.Hour || list[0].State != "revoked" ||
		len(list[0].Scopes) != 1 || list[0].Scopes[0] != "payment_intents:read" {
		t.Errorf("list: %+v", list)
	}
	if out := tt.run("keys", "list"); !strings.Contains(out, issued.ID) || strings.Contains(out, issued.Key) {
		t.Errorf("list:\n%s", out)
	}
	if got := tt.audited(key[8:16]) + ", " + tt.audited(issued.ID); got != "api_key.issued, api_key.rolled api_key.revoked" {
		t.Errorf("audit log: %s", got)
	}
	for want, args := range map[string][]string{
		"not found":              {"keys", "revoke", "nobodys0", "--reason", "x"},
		"revoked or expired":     {"keys", "roll", issued.ID},
		"use 0 to 168h0m0s":      {"keys", "roll", key, "--overlap", "200h"},
		"is unknown: use":        {"keys", "create", "--merchant", merchant, "--scopes", "everything"},
		"a time to come":         {"keys", "create", "--merchant", merchant, "--expires-in", "-1h"},
		"mer_nobody: not found":  {"keys", "create", "--merchant", "mer_nobody"},
		`flag(s) "reason" not`:   {"keys", "revoke", key},
		"SETTLE_CHAINS_FILE is ": {"addresses", "block", "0x1", "--reason", "x"},
	} {
		if _, err := tt.try(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("settle %v: %v, want %q", args, err, want)
		}
	}
}

func TestOperatorsKeysFromTheCommandLine(t *testing.T) {
	tt := newTerminal(t)
	key := tt.run("keys", "create", "--admin", "--name", "alice")
	if !regexp.MustCompile(`^sk_admin_[0-9A-Za-z]{46}$`).MatchString(key) {
		t.Fatalf("create prints %q", key)
	}
	reader := tt.run("keys", "create", "--admin", "--name", "bob", "--scopes", "admin:read", "--expires-in", "1h")
	rolled := tt.run("keys", "roll", reader, "--overlap", "0s")
	tt.run("keys", "revoke", rolled, "--reason", "left")
	var list []api.Key
	tt.json(&list, "keys", "list")
	var shown []string
	for _, k := range list {
		shown = append(shown, strings.Join([]string{k.Name, k.MerchantID, string(k.Mode), k.State, strings.Join(k.Scopes, ",")}, " "))
	}
	if got := strings.Join(shown, "; "); got != "bob  admin revoked admin:read; bob  admin expired admin:read; alice  admin valid admin:write,admin:read" {
		t.Errorf("list: %s", got)
	}
	if got := tt.audited(api.KeyID(key)) + ", " + tt.audited(api.KeyID(rolled)); got != "api_key.issued, api_key.rolled api_key.revoked" {
		t.Errorf("audit log: %s", got)
	}
	merchant := storetest.Merchant(t, tt.store, 0).ID
	for want, args := range map[string][]string{
		"[merchant admin] are set":   {"keys", "create", "--admin", "--name", "alice", "--merchant", merchant},
		"[mode admin] are set":       {"keys", "create", "--admin", "--name", "alice", "--mode", "live"},
		"at least one of the":        {"keys", "create", "--name", "alice"},
		"#/name: Use 1 to 200":       {"keys", "create", "--admin"},
		`"balances:read" is unknown`: {"keys", "create", "--admin", "--name", "alice", "--scopes", "balances:read"},
		`"admin:read" is unknown`:    {"keys", "create", "--merchant", merchant, "--scopes", "admin:read"},
	} {
		if out, err := tt.try(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("settle %v: %v, want %q\n%s", args, err, want, out)
		}
	}
}

func TestSponsoringFromTheCommandLine(t *testing.T) {
	tt := newTerminal(t)
	id := tt.run("merchants", "create", "--name", "Example Ltd")
	if out := tt.run("merchants", "sponsor", id, "--max-fee", "0.5", "--max-fee-per-day", "20"); out != id+"  0.500000 each, 20.000000 a day" {
		t.Errorf("sponsor prints %q", out)
	}
	tt.run("merchants", "sponsor", id, "--max-fee", "0.5", "--max-fee-per-day", "30")
	var shown struct {
		Sponsorship *api.Sponsorship `json:"sponsorship"`
	}
	tt.json(&shown, "merchants", "show", id)
	if shown.Sponsorship == nil || *shown.Sponsorship != (api.Sponsorship{MaxFee: "0.500000", MaxFeePerDay: "30.000000"}) {
		t.Errorf("show: %+v", shown.Sponsorship)
	}
	tt.run("merchants", "unsponsor", id)
	shown.Sponsorship = nil
	if tt.json(&shown, "merchants", "show", id); shown.Sponsorship != nil {
		t.Errorf("still sponsored: %+v", shown.Sponsorship)
	}
	if got := tt.audited(id); got != "merchant.created merchant.sponsored merchant.sponsored merchant.unsponsored" {
		t.Errorf("audited %q", got)
	}
	for want, args := range map[string][]string{
		"not found":                          {"merchants", "unsponsor", id},
		"It is below max_fee":                {"merchants", "sponsor", id, "--max-fee", "2", "--max-fee-per-day", "1"},
		"#/max_fee: Give more than 0":        {"merchants", "sponsor", id, "--max-fee", "0", "--max-fee-per-day", "1"},
		`required flag(s) "max-fee-per-day"`: {"merchants", "sponsor", id, "--max-fee", "2"},
		"sponsor merchant mer_none":          {"merchants", "sponsor", "mer_none", "--max-fee", "1", "--max-fee-per-day", "1"},
	} {
		if out, err := tt.try(args...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("settle %v: %v\n%s", args, err, out)
		}
	}
}
