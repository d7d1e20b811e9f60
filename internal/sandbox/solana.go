package sandbox

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	bin "github.com/gagliardetto/binary"
	sol "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/token"
	"github.com/gagliardetto/solana-go/rpc"
	"github.com/gagliardetto/solana-go/rpc/jsonrpc"
)

// solanaPatience bounds every wait for the Solana chain, at the usual slot
// time of 400 ms and on a busy machine.
const solanaPatience = 60 * time.Second

// StartSolana starts a Solana chain that only this test uses, with its own
// clock: for tests that fork, pause or advance it. It is in memory and ends
// with the test. It needs Node.js and `make deps`.
func StartSolana(t T, slotTime time.Duration) Solana {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", "sandbox", "solana", "sidecar")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Fatalf("the Solana sidecar's Node packages are not installed: run `make deps`, or `npm ci` in %s", dir)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "node", filepath.Join(dir, "server.js"), "--port", "0", "--slot-ms", strconv.FormatInt(slotTime.Milliseconds(), 10))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // its end is the sidecar's end, even if this process is killed
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the Solana sidecar: %v", err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		t.Fatalf("the Solana sidecar ended before it was ready: %v", err)
	}
	var s Solana
	if err := json.Unmarshal(line, &s); err != nil {
		t.Fatalf("the Solana sidecar's ready line %q: %v", line, err)
	}
	return s
}

// Fund gives an account lamports, and test USDC in base units to its
// associated token account, which is created. It waits until both are
// confirmed.
func (s Solana) Fund(t T, owner string, lamports, usdc uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), solanaPatience)
	defer cancel()
	client := s.client()
	key, err := sol.PublicKeyFromBase58(owner)
	if err != nil {
		t.Fatalf("fund %q: %v", owner, err)
	}
	var signatures []sol.Signature
	if lamports > 0 {
		signature, err := client.RequestAirdrop(ctx, key, lamports, rpc.CommitmentConfirmed)
		if err != nil {
			t.Fatalf("airdrop to %s: %v", owner, err)
		}
		signatures = append(signatures, signature)
	}
	if usdc > 0 {
		signature, err := s.mint(ctx, client, key, usdc)
		if err != nil {
			t.Fatalf("mint to %s: %v", owner, err)
		}
		signatures = append(signatures, signature)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for len(signatures) > 0 {
		select {
		case <-ctx.Done():
			t.Fatalf("funding of %s is not confirmed: %v", owner, ctx.Err())
		case <-tick.C:
		}
		r, err := client.GetSignatureStatuses(ctx, true, signatures...)
		if err != nil {
			continue // also "not found", while none has a status
		}
		for i := len(signatures) - 1; i >= 0; i-- {
			switch st := r.Value[i]; {
			case st == nil || st.ConfirmationStatus == rpc.ConfirmationStatusProcessed:
			case st.Err != nil:
				t.Fatalf("funding of %s failed: %v", owner, st.Err)
			default:
				signatures = append(signatures[:i], signatures[i+1:]...)
			}
		}
	}
}

// mint sends test USDC from nothing. The random memo makes equal mints
// different transactions.
func (s Solana) mint(ctx context.Context, client *rpc.Client, owner sol.PublicKey, units uint64) (sol.Signature, error) {
	return s.sendAsMintAuthority(ctx, client, func(authority, mint, ata sol.PublicKey) []sol.Instruction {
		return []sol.Instruction{
			sol.NewInstruction(sol.SPLAssociatedTokenAccountProgramID, sol.AccountMetaSlice{
				sol.Meta(authority).WRITE().SIGNER(), sol.Meta(ata).WRITE(), sol.Meta(owner), sol.Meta(mint),
				sol.Meta(sol.SystemProgramID), sol.Meta(sol.TokenProgramID),
			}, []byte{1}), // CreateIdempotent
			token.NewMintToInstruction(units, mint, ata, authority, nil).Build(),
		}
	}, owner)
}

// Freeze stops the associated token account of an owner from sending and
// receiving, as the issuer of a token can, or lifts that.
func (s Solana) Freeze(t T, owner string, frozen bool) {
	t.Helper()
	key, err := sol.PublicKeyFromBase58(owner)
	if err != nil {
		t.Fatalf("freeze %q: %v", owner, err)
	}
	_, err = s.sendAsMintAuthority(t.Context(), s.client(), func(authority, mint, ata sol.PublicKey) []sol.Instruction {
		if frozen {
			return []sol.Instruction{token.NewFreezeAccountInstruction(ata, mint, authority, nil).Build()}
		}
		return []sol.Instruction{token.NewThawAccountInstruction(ata, mint, authority, nil).Build()}
	}, key)
	if err != nil {
		t.Fatalf("freeze %s: %v", owner, err)
	}
}

func (s Solana) sendAsMintAuthority(ctx context.Context, client *rpc.Client, build func(authority, mint, ata sol.PublicKey) []sol.Instruction, owner sol.PublicKey) (sol.Signature, error) {
	authority, err := sol.PrivateKeyFromBase58(s.MintAuthority)
	if err != nil {
		return sol.Signature{}, fmt.Errorf("mint authority: %w", err)
	}
	mint, err := sol.PublicKeyFromBase58(s.USDCMint)
	if err != nil {
		return sol.Signature{}, fmt.Errorf("mint: %w", err)
	}
	ata, _, err := sol.FindAssociatedTokenAddress(owner, mint)
	if err != nil {
		return sol.Signature{}, err
	}
	latest, err := client.GetLatestBlockhash(ctx, rpc.CommitmentConfirmed)
	if err != nil {
		return sol.Signature{}, err
	}
	payer := authority.PublicKey()
	instructions := append(build(payer, mint, ata), sol.NewInstruction(sol.MemoProgramID, nil, []byte(rand.Text())))
	tx, err := sol.NewTransaction(instructions, latest.Value.Blockhash, sol.TransactionPayer(payer))
	if err != nil {
		return sol.Signature{}, err
	}
	if _, err := tx.Sign(func(sol.PublicKey) *sol.PrivateKey { return &authority }); err != nil {
		return sol.Signature{}, err
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		return sol.Signature{}, err
	}
	return client.SendEncodedTransactionWithOpts(ctx, base64.StdEncoding.EncodeToString(raw), rpc.TransactionOpts{PreflightCommitment: rpc.CommitmentProcessed})
}

// USDC is an owner's balance in its associated token account, in base units
// at the newest block; 0 without an account.
func (s Solana) USDC(t T, owner string) uint64 {
	t.Helper()
	ata, _, err := sol.FindAssociatedTokenAddress(sol.MustPublicKeyFromBase58(owner), sol.MustPublicKeyFromBase58(s.USDCMint))
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Value []*struct{ Data [2]string }
	}
	s.call(t, &out, "getMultipleAccounts", []string{ata.String()}, map[string]string{"commitment": "processed", "encoding": "base64"})
	if out.Value[0] == nil {
		return 0
	}
	var account token.Account
	raw, err := base64.StdEncoding.DecodeString(out.Value[0].Data[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := account.UnmarshalWithDecoder(bin.NewBinDecoder(raw)); err != nil {
		t.Fatalf("token account %s: %v", ata, err)
	}
	return account.Amount
}

// AdvanceSlots closes n blocks at once. 151 of them expire every blockhash.
func (s Solana) AdvanceSlots(t T, n int) { t.Helper(); s.call(t, nil, "test_advance", n) }

// DropNext makes the node lose the next n transactions that it accepts.
func (s Solana) DropNext(t T, n int) { t.Helper(); s.call(t, nil, "test_dropNext", n) }

// DropPending makes the node lose what was sent to it during a pause.
func (s Solana) DropPending(t T) { t.Helper(); s.call(t, nil, "test_dropPending") }

// Pause stops the making of blocks, or restarts it. Transactions sent
// meanwhile wait.
func (s Solana) Pause(t T, paused bool) { t.Helper(); s.call(t, nil, "test_pause", paused) }

// Fork abandons the newest depth blocks (at most 32, the open one included)
// with their transactions and blockhashes, and returns the lost signatures.
func (s Solana) Fork(t T, depth int) []string {
	t.Helper()
	var lost []string
	s.call(t, &lost, "test_fork", depth)
	return lost
}

// SolanaWallets are fresh accounts with their keys. It is a chains.Signer.
type SolanaWallets struct {
	Treasury string
	Lanes    []string
	keys     map[string]ed25519.PrivateKey
}

// NewWallets makes a treasury with 1,000,000 USDC and lanes with 100 SOL.
func (s Solana) NewWallets(t T, lanes int) SolanaWallets {
	t.Helper()
	w := SolanaWallets{keys: map[string]ed25519.PrivateKey{}}
	w.Treasury = w.add(t)
	s.Fund(t, w.Treasury, sol.LAMPORTS_PER_SOL, 1_000_000_000_000)
	for range lanes {
		lane := w.add(t)
		w.Lanes = append(w.Lanes, lane)
		s.Fund(t, lane, 100*sol.LAMPORTS_PER_SOL, 0)
	}
	return w
}

func (w SolanaWallets) add(t T) string {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	address := sol.PublicKeyFromBytes(public).String()
	w.keys[address] = private
	return address
}

// Sign signs a message with ed25519.
func (w SolanaWallets) Sign(_ context.Context, address string, message []byte) ([]byte, error) {
	key, ok := w.keys[address]
	if !ok {
		return nil, fmt.Errorf("no key for %s", address)
	}
	return ed25519.Sign(key, message), nil
}

// SecretKey is an account's 64-byte secret key in base58.
func (w SolanaWallets) SecretKey(address string) string {
	return sol.PrivateKey(w.keys[address]).String()
}

// client has short timeouts; the library's default is five minutes.
func (s Solana) client() *rpc.Client {
	return rpc.NewWithCustomRPCClient(jsonrpc.NewClientWithOpts(s.HTTPURL, &jsonrpc.RPCClientOpts{HTTPClient: &http.Client{Timeout: 5 * time.Second}}))
}

func (s Solana) call(t T, out any, method string, params ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second) // not t.Context: cleanups call it too
	defer cancel()
	var ignored json.RawMessage
	if out == nil {
		out = &ignored
	}
	if err := s.client().RPCCallForInto(ctx, out, method, params); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}
