package treasury_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/mr-tron/base58"

	"github.com/settlehq/settle/treasury"
)

// The first development key that every EVM tool knows.
const (
	evmSecret  = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
	evmAddress = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
)

// RFC 8032, section 7.1, test 1.
const (
	edSeed   = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
	edPublic = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
)

func edAddress() string { return base58.Encode(unhex(edPublic)) }

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func write(t *testing.T, mode os.FileMode, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyring.json")
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // past the umask
		t.Fatal(err)
	}
	return path
}

func entry(chain, address, kind, secret string) string {
	b, _ := json.Marshal(map[string]string{"chain": chain, "address": address, "type": kind, "secret": secret})
	return string(b)
}

func load(t *testing.T, entries ...string) *treasury.Keyring {
	t.Helper()
	k, err := treasury.LoadKeyring(write(t, 0o600, "["+strings.Join(entries, ",")+"]"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyringSignsForEVM(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]string{"plain": evmSecret, "with 0x": "0x" + evmSecret} {
		k := load(t, entry("ethereum", evmAddress, "secp256k1", secret))
		for n := range 20 { // both recovery codes come up
			digest := sha256.Sum256([]byte{byte(n)})
			signature, err := k.Sign(t.Context(), strings.ToLower(evmAddress), digest[:])
			if err != nil {
				t.Fatal(err)
			}
			if len(signature) != 65 || signature[64] > 1 {
				t.Fatalf("%s: signature %x", name, signature)
			}
			compact := append([]byte{27 + signature[64]}, signature[:64]...)
			public, _, err := ecdsa.RecoverCompact(compact, digest[:])
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(public.SerializeUncompressed()[1:5]); got != "8318535b" {
				t.Fatalf("%s: recovered another key: %s", name, got)
			}
		}
	}
	k := load(t, entry("ethereum", evmAddress, "secp256k1", evmSecret))
	if _, err := k.Sign(t.Context(), evmAddress, []byte("not a digest")); err == nil {
		t.Error("signed something that is no digest")
	}
}

func TestKeyringSignsForSolana(t *testing.T) {
	t.Parallel()
	pair := append(unhex(edSeed), unhex(edPublic)...)
	for name, secret := range map[string]string{
		"seed in hex": edSeed, "seed in base58": base58.Encode(unhex(edSeed)),
		"pair in hex": hex.EncodeToString(pair), "pair in base58": base58.Encode(pair),
	} {
		k := load(t, entry("solana", edAddress(), "ed25519", secret))
		message := []byte("a message of any length")
		signature, err := k.Sign(t.Context(), edAddress(), message)
		if err != nil || !ed25519.Verify(unhex(edPublic), message, signature) {
			t.Errorf("%s: %x, %v", name, signature, err)
		}
		// RFC 8032's signature of the empty message.
		if signature, _ = k.Sign(t.Context(), edAddress(), nil); hex.EncodeToString(signature[:4]) != "e5564300" {
			t.Errorf("%s: signature %x", name, signature)
		}
	}
}

func TestKeyringKnowsItsAddresses(t *testing.T) {
	t.Parallel()
	k := load(t, entry("ethereum", evmAddress, "secp256k1", evmSecret), entry("solana", edAddress(), "ed25519", edSeed))
	want := []treasury.Key{
		{Chain: "ethereum", Address: evmAddress, Type: treasury.Secp256k1}, {Chain: "solana", Address: edAddress(), Type: treasury.Ed25519},
	}
	if got := k.Addresses(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v", got)
	}
	if _, err := k.Sign(t.Context(), "0x0000000000000000000000000000000000000001", make([]byte, 32)); !errors.Is(err, treasury.ErrNoKey) {
		t.Errorf("a stranger's address: %v", err)
	}
}

func TestKeyringRefusesReadableFiles(t *testing.T) {
	t.Parallel()
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o660, 0o602, 0o777} {
		_, err := treasury.LoadKeyring(write(t, mode, "[]"))
		if err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if _, err := treasury.LoadKeyring(write(t, mode, "[]")); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// What is wrong with a file is said without saying the secret.
func TestKeyringErrorsKeepTheSecret(t *testing.T) {
	t.Parallel()
	short := evmSecret[:60]
	tests := []struct {
		name    string
		content string
		says    string
	}{
		{"no JSON", evmSecret, "not a JSON list"},
		{"another field", `[{"chain":"a","address":"b","type":"secp256k1","secert":"` + evmSecret + `"}]`, "secert"},
		{"secret is a list", `[{"chain":"a","address":"b","type":"secp256k1","secret":["` + evmSecret + `"]}]`, "not a JSON list"},
		{"no chain", "[" + entry("", evmAddress, "secp256k1", evmSecret) + "]", "chain or address is missing"},
		{"no address", "[" + entry("ethereum", "", "secp256k1", evmSecret) + "]", "chain or address is missing"},
		{"no type", "[" + entry("ethereum", evmAddress, "", evmSecret) + "]", "type \"\" is unknown"},
		{"too short", "[" + entry("ethereum", evmAddress, "secp256k1", short) + "]", "not 32 bytes"},
		{"no hex", "[" + entry("ethereum", evmAddress, "secp256k1", "zz"+evmSecret[2:]) + "]", "not 32 bytes"},
		{"zero", "[" + entry("ethereum", evmAddress, "secp256k1", strings.Repeat("0", 64)) + "]", "not a private key"},
		{"above the order", "[" + entry("ethereum", evmAddress, "secp256k1", strings.Repeat("f", 64)) + "]", "not a private key"},
		{"another's address", "[" + entry("ethereum", "0x0000000000000000000000000000000000000001", "secp256k1", evmSecret) + "]", "belongs to 0xf39fd6"},
		{"another's account", "[" + entry("solana", base58.Encode(make([]byte, 32)), "ed25519", edSeed) + "]", "belongs to"},
		{"odd halves", "[" + entry("solana", edAddress(), "ed25519", edSeed+edSeed) + "]", "two halves"},
		{"half a seed", "[" + entry("solana", edAddress(), "ed25519", edSeed[:32]) + "]", "not 32 or 64 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := treasury.LoadKeyring(write(t, 0o600, tt.content))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("error %v, want one that says %q", err, tt.says)
			}
			for _, secret := range []string{short[2:], edSeed[:32]} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows the secret: %v", err)
				}
			}
		})
	}
	if _, err := treasury.LoadKeyring(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestKeyringNeverPrintsSecrets(t *testing.T) {
	t.Parallel()
	k := load(t, entry("ethereum", evmAddress, "secp256k1", evmSecret), entry("solana", edAddress(), "ed25519", edSeed))
	inside := struct {
		K      *treasury.Keyring
		hidden treasury.Keyring // fmt does not ask unexported fields how to print them
	}{k, *k}
	asJSON, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	shown := []string{string(asJSON), k.String(), fmt.Errorf("with %v", k).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p"} {
		shown = append(shown, fmt.Sprintf(verb, k), fmt.Sprintf(verb, *k), fmt.Sprintf(verb, inside), fmt.Sprintf(verb, []any{k}))
	}
	for _, secret := range []string{evmSecret, edSeed} {
		numbers := strings.Trim(fmt.Sprintf("%d", unhex(secret)[:4]), "[]")
		for _, text := range shown {
			if strings.Contains(strings.ToLower(text), secret[:8]) || strings.Contains(text, numbers) {
				t.Errorf("a secret shows in %s", text)
			}
		}
	}
}
