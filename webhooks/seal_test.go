package webhooks_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/settlehq/settle/webhooks"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func newSealer(t *testing.T, current string, keys map[string][]byte) *webhooks.Sealer {
	t.Helper()
	s, err := webhooks.NewSealer(current, keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealedSecretsSurviveMasterKeyRotation(t *testing.T) {
	t.Parallel()
	old := newSealer(t, "k1", map[string][]byte{"k1": key(1)})
	both := newSealer(t, "k2", map[string][]byte{"k1": key(1), "k2": key(2)})
	only2 := newSealer(t, "k2", map[string][]byte{"k2": key(2)})
	secret := []byte("the signing secret of an endpoint")

	sealed1, sealed2 := old.Seal(secret, "we_a"), both.Seal(secret, "we_a")
	if bytes.Contains(sealed1, secret) {
		t.Fatal("the secret is readable in what was sealed")
	}
	if bytes.Equal(old.Seal(secret, "we_a"), sealed1) {
		t.Fatal("sealing twice gives the same bytes")
	}
	for _, c := range []struct {
		name   string
		sealer *webhooks.Sealer
		sealed []byte
		owner  string
		want   error
	}{
		{"old key, old value", old, sealed1, "we_a", nil},
		{"both keys, old value", both, sealed1, "we_a", nil},
		{"both keys, new value", both, sealed2, "we_a", nil},
		{"old key dropped", only2, sealed1, "we_a", webhooks.ErrUnknownKey},
		{"another owner", both, sealed1, "we_b", webhooks.ErrSealed},
		{"empty", both, nil, "we_a", webhooks.ErrSealed},
		{"cut in the header", both, sealed1[:3], "we_a", webhooks.ErrSealed},
		{"cut in the body", both, sealed1[:20], "we_a", webhooks.ErrSealed},
	} {
		got, err := c.sealer.Open(c.sealed, c.owner)
		if !errors.Is(err, c.want) || (c.want == nil && !bytes.Equal(got, secret)) {
			t.Errorf("%s: %q, %v; want %v", c.name, got, err, c.want)
		}
	}
	for i := range sealed1 {
		damaged := bytes.Clone(sealed1)
		damaged[i] ^= 1
		if _, err := both.Open(damaged, "we_a"); err == nil {
			t.Errorf("opens with byte %d changed", i)
		}
	}
}

func TestSealerRefusesBadKeys(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string]map[string][]byte{
		"current missing": {"k2": key(1)},
		"short":           {"k1": key(1)[:16]},
		"no id":           {"k1": key(1), "": key(2)},
		"none":            nil,
	} {
		if _, err := webhooks.NewSealer("k1", keys); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
