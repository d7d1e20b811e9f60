package webhooks

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const (
	secretPrefix = "whsec_"
	secretBytes  = 32
	// minSecretBytes is the shortest key that Standard Webhooks allows.
	minSecretBytes = 24
)

// ErrSecret is wrapped by errors about a signing secret that is missing,
// too short or not in the form whsec_<base64>.
var ErrSecret = errors.New("webhook secret")

// NewSecret makes a signing secret: "whsec_" and the base64 of 32 random
// bytes, the form that Standard Webhooks libraries take.
func NewSecret() string {
	key := make([]byte, secretBytes)
	rand.Read(key) // never fails: crypto/rand ends the process instead
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// DecodeSecret returns the key bytes of a secret made by NewSecret, or ErrSecret.
func DecodeSecret(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return nil, fmt.Errorf("%w: does not start with %s", ErrSecret, secretPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, fmt.Errorf("%w: is not base64 after %s", ErrSecret, secretPrefix)
	}
	return key, checkKey(key)
}

func checkKey(key []byte) error {
	if len(key) < minSecretBytes {
		return fmt.Errorf("%w: %d bytes, needs at least %d", ErrSecret, len(key), minSecretBytes)
	}
	return nil
}

// Sign returns the value of the header webhook-signature: one v1 signature of
// "id.timestamp.body" (Standard Webhooks; at in whole seconds) per secret,
// joined by spaces, so that a receiver accepts the body with any of them while
// a secret rotates. It fails with ErrSecret if there is no secret or one is too
// short to protect anything.
func Sign(secrets [][]byte, id string, at time.Time, body []byte) (header string, err error) {
	if len(secrets) == 0 {
		return "", fmt.Errorf("%w: none to sign with", ErrSecret)
	}
	signatures := make([]string, len(secrets))
	for i, key := range secrets {
		if err := checkKey(key); err != nil {
			return "", err
		}
		wh, err := standardwebhooks.NewWebhookRaw(key)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrSecret, err)
		}
		if signatures[i], err = wh.Sign(id, at, body); err != nil {
			return "", fmt.Errorf("sign webhook %s: %w", id, err)
		}
	}
	return strings.Join(signatures, " "), nil
}
