package evm

import (
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/settlehq/settle/chains"
)

func TestQuote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                 string
		base, tip            int64
		oldTip, oldCap, most int64
		wantTip, wantCap     int64
		capped               bool
		expected             int64 // for 10 gas
	}{
		{"quiet", 100, 20, 0, 0, 1000, 20, 220, false, 1200},
		{"cap trims the reserve", 600, 100, 0, 0, 1000, 100, 1000, false, 7000},
		{"market above the cap", 950, 100, 0, 0, 1000, 100, 1000, true, 10_000},
		{"tip above the cap", 10, 5000, 0, 0, 1000, 1000, 1000, true, 10_000},
		{"outbids in a quiet market", 100, 20, 101, 301, 1000, 112, 332, false, 1200},
		{"outbids the tip only", 100, 20, 100, 200, 1000, 110, 310, false, 1200},
		{"the market has passed what was bid", 300, 50, 20, 220, 1000, 50, 650, false, 3500},
		{"outbids a single wei", 0, 1, 1, 1, 1000, 2, 2, false, 10},
		{"outbids just up to the cap", 100, 20, 20, 909, 1000, 22, 1000, false, 1200},
		{"outbids at the cap below the market", 990, 20, 20, 900, 1000, 22, 1000, true, 10_000},
	} {
		var replaced []*types.Transaction
		if c.oldCap > 0 {
			replaced = append(replaced, types.NewTx(&types.DynamicFeeTx{GasTipCap: big.NewInt(c.oldTip), GasFeeCap: big.NewInt(c.oldCap)}))
		}
		m := market{base: big.NewInt(c.base), tip: big.NewInt(c.tip)}
		f, err := m.quote(outbidding(replaced, big.NewInt(1)), big.NewInt(c.most))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if f.tip.Int64() != c.wantTip || f.cap.Int64() != c.wantCap || f.capped != c.capped {
			t.Errorf("%s: tip %s cap %s capped %v, want %d %d %v", c.name, f.tip, f.cap, f.capped, c.wantTip, c.wantCap, c.capped)
		}
		if got := m.expected(f, 10).Int64(); got != c.expected {
			t.Errorf("%s: expected cost %d, want %d", c.name, got, c.expected)
		}
	}
}

// TestQuoteSignsNothingBelowTheNextBid: what no node would take is not priced.
func TestQuoteSignsNothingBelowTheNextBid(t *testing.T) {
	t.Parallel()
	m := market{base: big.NewInt(100), tip: big.NewInt(20)}
	pooled := []*types.Transaction{
		types.NewTx(&types.DynamicFeeTx{GasTipCap: big.NewInt(20), GasFeeCap: big.NewInt(910)}),
		types.NewTx(&types.DynamicFeeTx{GasTipCap: big.NewInt(200), GasFeeCap: big.NewInt(220)}),
	}
	if _, err := m.quote(outbidding(pooled, big.NewInt(1)), big.NewInt(1000)); !errors.Is(err, chains.ErrFeeCapped) {
		t.Errorf("%v, want ErrFeeCapped", err)
	}
	f, err := m.quote(outbidding(pooled, big.NewInt(1)), big.NewInt(1001))
	if err != nil || f.tip.Int64() != 220 || f.cap.Int64() != 1001 {
		t.Errorf("tip %s cap %s, %v: want the highest of both figures plus a tenth", f.tip, f.cap, err)
	}
	if _, err := m.quote(outbidding(nil, big.NewInt(10)), big.NewInt(9)); !errors.Is(err, chains.ErrFeeCapped) {
		t.Errorf("%v, want ErrFeeCapped below the least tip", err)
	}
}

// TestFirstUse finds every block below a head, and nothing without the history.
func TestFirstUse(t *testing.T) {
	t.Parallel()
	gone := errors.New("missing trie node")
	for first := range hexutil.Uint64(100) {
		got, err := firstUse(99, func(at hexutil.Uint64) (bool, error) { return at >= first, nil })
		if err != nil || got != first {
			t.Errorf("block %d, %v, want %d", got, err, first)
		}
		pruned := func(at hexutil.Uint64) (bool, error) {
			if at <= first {
				return false, gone
			}
			return true, nil
		}
		if got, err := firstUse(99, pruned); first < 99 && !errors.Is(err, gone) {
			t.Errorf("found block %d, %v, though block %d is not known", got, err, first)
		}
	}
}

var usdc = common.HexToAddress("0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48")

// TestDomainSeparatorOfUSDC compares with what USDC on Ethereum returns.
func TestDomainSeparatorOfUSDC(t *testing.T) {
	t.Parallel()
	want := common.HexToHash("0x06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335")
	if got := domainSeparator("USD Coin", "2", 1, usdc); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDigest compares with go-ethereum's EIP-712 implementation.
func TestDigest(t *testing.T) {
	t.Parallel()
	treasury := common.HexToAddress("0x1111111111111111111111111111111111111111")
	a := authorization{
		To: common.HexToAddress("0x2222222222222222222222222222222222222222"), Value: (*hexutil.Big)(big.NewInt(12_500_000)),
		ValidBefore: 1_800_000_000, Nonce: AuthorizationNonce(1, usdc, treasury, "pi_1", 1),
	}
	field := func(name, kind string) apitypes.Type { return apitypes.Type{Name: name, Type: kind} }
	want, _, err := apitypes.TypedDataAndHash(apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain":              {field("name", "string"), field("version", "string"), field("chainId", "uint256"), field("verifyingContract", "address")},
			"TransferWithAuthorization": {field("from", "address"), field("to", "address"), field("value", "uint256"), field("validAfter", "uint256"), field("validBefore", "uint256"), field("nonce", "bytes32")},
		},
		PrimaryType: "TransferWithAuthorization",
		Domain:      apitypes.TypedDataDomain{Name: "USD Coin", Version: "2", ChainId: math.NewHexOrDecimal256(1), VerifyingContract: usdc.Hex()},
		Message: apitypes.TypedDataMessage{
			"from": treasury.Hex(), "to": a.To.Hex(), "value": "12500000", "validAfter": "0", "validBefore": "1800000000", "nonce": a.Nonce.Hex(),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := a.digest(domainSeparator("USD Coin", "2", 1, usdc), treasury); got != common.BytesToHash(want) {
		t.Errorf("%s, want %x", got, want)
	}
}

// TestAuthorizationNonce pins the derivation: a changed nonce would let every
// payment in flight be signed, and paid, a second time.
func TestAuthorizationNonce(t *testing.T) {
	t.Parallel()
	treasury := common.HexToAddress("0x1111111111111111111111111111111111111111")
	first := AuthorizationNonce(1, usdc, treasury, "pi_1", 1)
	preimage := "7061796f75742f7631" + strings.Repeat("0", 63) + "1" + "a0b86991c6218b36c1d19d4a2e9eb0ce3606eb48" +
		strings.Repeat("1", 40) + "70695f31"
	if want := crypto.Keccak256Hash(common.FromHex(preimage)); first != want {
		t.Errorf("%s, want %s", first, want)
	}
	seen := map[common.Hash]string{first: "first"}
	for name, other := range map[string]common.Hash{
		"second attempt":   AuthorizationNonce(1, usdc, treasury, "pi_1", 2),
		"third attempt":    AuthorizationNonce(1, usdc, treasury, "pi_1", 3),
		"another intent":   AuthorizationNonce(1, usdc, treasury, "pi_2", 1),
		"another chain":    AuthorizationNonce(2, usdc, treasury, "pi_1", 1),
		"another token":    AuthorizationNonce(1, treasury, treasury, "pi_1", 1),
		"another treasury": AuthorizationNonce(1, usdc, usdc, "pi_1", 1),
	} {
		if twin, ok := seen[other]; ok {
			t.Errorf("%s has the nonce of %s", name, twin)
		}
		seen[other] = name
	}
}

func TestLowS(t *testing.T) {
	t.Parallel()
	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	digest := crypto.Keccak256([]byte("message"))
	low, err := crypto.Sign(digest, key)
	if err != nil {
		t.Fatal(err)
	}
	high := append([]byte(nil), low...)
	new(big.Int).Sub(crypto.S256().Params().N, new(big.Int).SetBytes(low[32:64])).FillBytes(high[32:64])
	high[64] ^= 1
	if got := lowS(high); string(got) != string(low) {
		t.Errorf("%x, want %x", got, low)
	}
	if got := lowS(low); string(got) != string(low) {
		t.Errorf("changed a signature that was fine: %x", got)
	}
}

func TestConfigFaultsAreAllNamed(t *testing.T) {
	t.Parallel()
	err := Config{RPCURLs: []string{"ftp://key@node"}, Token: "0x12", Treasury: usdc.Hex(), Lanes: []string{usdc.Hex(), usdc.Hex()}, Method: "cash", GasLimit: 1, CancelGasLimit: 2, MaxCancelFeeGwei: 299}.Validate()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"name is missing", "chain_id is missing", "rpc_urls[0]", "token \"0x12\"", "listed twice", "method \"cash\"", "gas_limit is 1", "cancel_gas_limit is 2", "max_cancel_fee_gwei 299 is below max_fee_gwei 300"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("does not say %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "key@") {
		t.Error("shows the endpoint's key")
	}
	good := Config{Name: "base", ChainID: 8453, RPCURLs: []string{"https://node"}, Token: usdc.Hex(),
		Treasury: "0x1111111111111111111111111111111111111111", Lanes: []string{"0x2222222222222222222222222222222222222222"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
