package evm

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains/evm/fiattoken"
)

// AuthorizationNonce is the EIP-3009 nonce of an intent:
//
//	keccak256("payout/v1" || chain id, 32 bytes big endian || token || treasury || intent id)
//
// with ":v" and the attempt's number behind the intent id from the second
// attempt on. It is deterministic, so that however often an intent is signed
// for, the token pays it once.
func AuthorizationNonce(chainID uint64, token, treasury common.Address, intentID string, seq int) common.Hash {
	var id [32]byte
	binary.BigEndian.PutUint64(id[24:], chainID)
	if seq > 1 {
		intentID = fmt.Sprintf("%s:v%d", intentID, seq)
	}
	return crypto.Keccak256Hash([]byte("payout/v1"), id[:], token[:], treasury[:], []byte(intentID))
}

// authorization is a signed order to the token contract (EIP-3009
// TransferWithAuthorization). It is stored with the slot, so that other lanes
// may submit it.
type authorization struct {
	To          common.Address `json:"to"`
	Value       *hexutil.Big   `json:"value"`        // base units
	ValidAfter  uint64         `json:"valid_after"`  // seconds; block time must be later
	ValidBefore uint64         `json:"valid_before"` // seconds; block time must be earlier
	Nonce       common.Hash    `json:"nonce"`
	Signature   hexutil.Bytes  `json:"signature"` // R || S || V, V 27 or 28
}

var (
	domainType   = crypto.Keccak256([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"))
	transferType = crypto.Keccak256([]byte("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"))
)

// domainSeparator is EIP-712's, for the token's domain.
func domainSeparator(name, version string, chainID uint64, token common.Address) common.Hash {
	return crypto.Keccak256Hash(domainType, crypto.Keccak256([]byte(name)), crypto.Keccak256([]byte(version)),
		word(new(big.Int).SetUint64(chainID)), common.LeftPadBytes(token[:], 32))
}

// digest is what the owner of the money signs (EIP-712).
func (a authorization) digest(domain common.Hash, from common.Address) common.Hash {
	message := crypto.Keccak256(transferType, common.LeftPadBytes(from[:], 32), common.LeftPadBytes(a.To[:], 32), word(a.Value.ToInt()),
		word(new(big.Int).SetUint64(a.ValidAfter)), word(new(big.Int).SetUint64(a.ValidBefore)), a.Nonce[:])
	return typedDigest(domain, message)
}

// typedDigest is EIP-712's, of a message's hash.
func typedDigest(domain common.Hash, message []byte) common.Hash {
	return crypto.Keccak256Hash([]byte{0x19, 0x01}, domain[:], message)
}

// calldata is the call of transferWithAuthorization.
func (a authorization) calldata(from common.Address) []byte {
	return fiattoken.NewFiatToken().PackTransferWithAuthorization(from, a.To, a.Value.ToInt(),
		new(big.Int).SetUint64(a.ValidAfter), new(big.Int).SetUint64(a.ValidBefore), a.Nonce,
		a.Signature[64], [32]byte(a.Signature[:32]), [32]byte(a.Signature[32:64]))
}

func parseAuthorization(stored json.RawMessage) (authorization, error) {
	var a authorization
	if err := json.Unmarshal(stored, &a); err != nil {
		return a, fmt.Errorf("stored authorization: %w", err)
	}
	if len(a.Signature) != crypto.SignatureLength || a.Value == nil {
		return a, fmt.Errorf("stored authorization is incomplete")
	}
	return a, nil
}

// parseAuthorizationNonce reads the nonce of an EIP-3009 slot.
func parseAuthorizationNonce(text string) (common.Hash, error) {
	raw, err := hexutil.Decode(text)
	if err != nil || len(raw) != common.HashLength {
		return common.Hash{}, fmt.Errorf("authorization nonce %q is not 32 bytes", text)
	}
	return common.BytesToHash(raw), nil
}

func word(n *big.Int) []byte { return math.U256Bytes(new(big.Int).Set(n)) }

var halfOrder = new(big.Int).Rsh(crypto.S256().Params().N, 1)

// lowS brings a signature R || S || V into the form with the smaller S, the
// only one that tokens and (EIP-2) transactions accept. Signing services
// return either.
func lowS(sig []byte) []byte {
	s := new(big.Int).SetBytes(sig[32:64])
	if s.Cmp(halfOrder) <= 0 {
		return sig
	}
	out := append([]byte(nil), sig...)
	new(big.Int).Sub(crypto.S256().Params().N, s).FillBytes(out[32:64])
	out[64] ^= 1
	return out
}
