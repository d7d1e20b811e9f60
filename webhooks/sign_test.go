package webhooks_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/settlehq/settle/webhooks"
)

func TestSecretHasTheStandardForm(t *testing.T) {
	t.Parallel()
	secret := webhooks.NewSecret()
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	if raw, err := base64.StdEncoding.DecodeString(encoded); !ok || err != nil || len(raw) != 32 {
		t.Fatalf("%q is not whsec_ and base64 of 32 bytes", secret)
	}
	if secret == webhooks.NewSecret() {
		t.Fatal("two secrets are equal")
	}
	for _, bad := range []string{"", "whsec_", "whsec_!!", "whsec_c2hvcnQ=", encoded} {
		if _, err := webhooks.DecodeSecret(bad); !errors.Is(err, webhooks.ErrSecret) {
			t.Errorf("DecodeSecret(%q) = %v, want ErrSecret", bad, err)
		}
	}
}

// The vector of the Standard Webhooks specification's libraries.
func TestSignMatchesThePublishedVector(t *testing.T) {
	t.Parallel()
	key, err := webhooks.DecodeSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got, err := webhooks.Sign([][]byte{key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got != want {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
}

// While a secret rotates, a receiver with either one verifies with the stock library.
func TestEverySecretVerifies(t *testing.T) {
	t.Parallel()
	secrets := []string{webhooks.NewSecret(), webhooks.NewSecret()}
	var keys [][]byte
	for _, s := range secrets {
		key, err := webhooks.DecodeSecret(s)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	now, body := time.Now(), []byte(`{"id":"evt_1"}`)
	signature, err := webhooks.Sign(keys, "evt_1", now, body)
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	header.Set("webhook-id", "evt_1")
	header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
	header.Set("webhook-signature", signature)
	for _, s := range append(secrets, webhooks.NewSecret()) {
		wh, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		ours := s == secrets[0] || s == secrets[1]
		if err := wh.Verify(body, header); (err == nil) != ours {
			t.Errorf("our secret: %t, verify: %v", ours, err)
		}
		if err := wh.Verify([]byte(`{"id":"evt_2"}`), header); err == nil {
			t.Error("another body verifies")
		}
	}
}

func TestSignRefusesWeakSecrets(t *testing.T) {
	t.Parallel()
	good := bytes.Repeat([]byte{1}, 32)
	for name, secrets := range map[string][][]byte{"none": nil, "empty": {good, {}}, "short": {bytes.Repeat([]byte{1}, 23)}} {
		if header, err := webhooks.Sign(secrets, "evt_1", time.Now(), nil); !errors.Is(err, webhooks.ErrSecret) || header != "" {
			t.Errorf("%s: %q, %v; want ErrSecret", name, header, err)
		}
	}
}
