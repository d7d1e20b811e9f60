package sandbox

import (
	"context"
	"crypto/rand"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains/evm/fiattoken"
)

// Authorization is a transfer that its payer signs for the token (EIP-3009).
// Its JSON is what POST /v1/sponsored_payments takes of it.
type Authorization struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Value       uint64 `json:"-"` // base units
	ValidAfter  int64  `json:"valid_after"`
	ValidBefore int64  `json:"valid_before"` // Authorize fills in an hour from the newest block
	Nonce       string `json:"nonce"`        // Authorize fills in a random one
	Signature   string `json:"signature"`
}

// Authorize signs with the payer's key, as a wallet does: by the EIP-712 domain
// that the token shows.
func (e *EthereumNode) Authorize(t T, keys *EthereumKeys, a Authorization) Authorization {
	t.Helper()
	if a.ValidBefore == 0 {
		a.ValidBefore = e.Now(t).Add(time.Hour).Unix()
	}
	if a.Nonce == "" {
		var nonce [32]byte
		_, _ = rand.Read(nonce[:]) // never fails
		a.Nonce = hexutil.Encode(nonce[:])
	}
	typeHash := crypto.Keccak256([]byte("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"))
	message := crypto.Keccak256(typeHash, word(common.HexToAddress(a.From).Big()), word(common.HexToAddress(a.To).Big()), word(new(big.Int).SetUint64(a.Value)),
		word(big.NewInt(a.ValidAfter)), word(big.NewInt(a.ValidBefore)), common.HexToHash(a.Nonce).Bytes())
	a.Signature = hexutil.Encode(e.signTyped(t, keys, a.From, message))
	return a
}

// Now is the time of the newest block.
func (e *EthereumNode) Now(t T) time.Time {
	t.Helper()
	var head struct {
		Timestamp hexutil.Uint64 `json:"timestamp"`
	}
	e.call(t, &head, "eth_getBlockByNumber", "latest", false)
	return time.Unix(int64(head.Timestamp), 0)
}

// Use submits an authorization from an account with ether, past Settle, and
// returns the transaction's hash.
func (e *EthereumNode) Use(t T, keys *EthereumKeys, sender string, a Authorization) string {
	t.Helper()
	sig := common.FromHex(a.Signature)
	return e.callToken(t, keys, sender, fiattoken.NewFiatToken().PackTransferWithAuthorization(common.HexToAddress(a.From), common.HexToAddress(a.To),
		new(big.Int).SetUint64(a.Value), big.NewInt(a.ValidAfter), big.NewInt(a.ValidBefore), common.HexToHash(a.Nonce), sig[64], [32]byte(sig[:32]), [32]byte(sig[32:64])))
}

// Cancel has the payer cancel an authorization; an account with ether submits
// that.
func (e *EthereumNode) Cancel(t T, keys *EthereumKeys, sender string, a Authorization) string {
	t.Helper()
	message := crypto.Keccak256(crypto.Keccak256([]byte("CancelAuthorization(address authorizer,bytes32 nonce)")),
		word(common.HexToAddress(a.From).Big()), common.HexToHash(a.Nonce).Bytes())
	sig := e.signTyped(t, keys, a.From, message)
	return e.callToken(t, keys, sender, fiattoken.NewFiatToken().PackCancelAuthorization(common.HexToAddress(a.From), common.HexToHash(a.Nonce),
		sig[64], [32]byte(sig[:32]), [32]byte(sig[32:])))
}

// Transfer sends tokens from an account with ether.
func (e *EthereumNode) Transfer(t T, keys *EthereumKeys, from, to string, value uint64) string {
	t.Helper()
	return e.callToken(t, keys, from, fiattoken.NewFiatToken().PackTransfer(common.HexToAddress(to), new(big.Int).SetUint64(value)))
}

func word(n *big.Int) []byte { return math.U256Bytes(n) }

// signTyped signs the hash of an EIP-712 message for the token, V 27 or 28.
func (e *EthereumNode) signTyped(t T, keys *EthereumKeys, signer string, message []byte) []byte {
	t.Helper()
	var domain hexutil.Bytes
	e.call(t, &domain, "eth_call", map[string]any{"to": e.Ethereum.USDC, "data": hexutil.Bytes(fiattoken.NewFiatToken().PackDOMAINSEPARATOR())}, "latest")
	sig, err := keys.Sign(context.Background(), signer, crypto.Keccak256([]byte{0x19, 0x01}, domain, message))
	if err != nil {
		t.Fatalf("sandbox ethereum: %v", err)
	}
	sig[64] += 27
	return sig
}

// callToken sends a transaction to the token.
func (e *EthereumNode) callToken(t T, keys *EthereumKeys, sender string, data []byte) string {
	t.Helper()
	var nonce hexutil.Uint64
	var price hexutil.Big
	e.call(t, &nonce, "eth_getTransactionCount", sender, "pending")
	e.call(t, &price, "eth_gasPrice")
	token, id := common.HexToAddress(e.Ethereum.USDC), new(big.Int).SetUint64(e.ChainID)
	unsigned := types.NewTx(&types.DynamicFeeTx{ChainID: id, Nonce: uint64(nonce), GasTipCap: big.NewInt(1e9),
		GasFeeCap: new(big.Int).Add(big.NewInt(1e9), new(big.Int).Lsh(price.ToInt(), 1)), Gas: 200_000, To: &token, Data: data})
	rules := types.LatestSignerForChainID(id)
	hash := rules.Hash(unsigned)
	sig, err := keys.Sign(context.Background(), sender, hash[:])
	if err != nil {
		t.Fatalf("sandbox ethereum: %v", err)
	}
	tx, err := unsigned.WithSignature(rules, sig)
	if err != nil {
		t.Fatalf("sandbox ethereum: %v", err)
	}
	raw, err := tx.MarshalBinary()
	if err != nil {
		t.Fatalf("sandbox ethereum: %v", err)
	}
	e.call(t, nil, "eth_sendRawTransaction", hexutil.Bytes(raw))
	return tx.Hash().Hex()
}
