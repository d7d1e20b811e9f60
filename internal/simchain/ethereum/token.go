package ethereum

import (
	"bytes"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains/evm/fiattoken"
)

// The token's answers to name, version and decimals.
const (
	tokenName    = "USD Coin"
	tokenVersion = "2"
	decimals     = uint8(6)
)

// token is the contract: what its code would do, in Go.
type token struct {
	address common.Address
	abi     *abi.ABI
	domain  common.Hash // EIP-712 separator
}

var (
	domainType   = crypto.Keccak256([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"))
	transferType = crypto.Keccak256([]byte("TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"))
	cancelType   = crypto.Keccak256([]byte("CancelAuthorization(address authorizer,bytes32 nonce)"))

	topicTransfer = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
	topicUsed     = crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))
	topicCanceled = crypto.Keccak256Hash([]byte("AuthorizationCanceled(address,bytes32)"))
)

func newToken(chainID uint64, address common.Address) token {
	parsed, err := fiattoken.FiatTokenMetaData.ParseABI()
	if err != nil {
		panic(err) // generated
	}
	return token{address: address, abi: parsed, domain: crypto.Keccak256Hash(domainType,
		crypto.Keccak256([]byte(tokenName)), crypto.Keccak256([]byte(tokenVersion)), word(new(big.Int).SetUint64(chainID)), pad(address))}
}

// Gas of transactions to the token, measured on its Solidity counterpart: a
// payee's first token costs more, and a failed call ends early.
const (
	gasTransfer   = 41_300
	gasAuthorized = 74_600
	gasCancel     = 55_000
	gasNewHolder  = 17_100 // on top
	gasReverted   = 35_000
	gasIntrinsic  = 21_000
)

// revert is a failed call with the contract's words, "" for none.
type revert string

func (r revert) Error() string {
	if r == "" {
		return "execution reverted"
	}
	return "execution reverted: " + string(r)
}

// outcome is what a call did.
type outcome struct {
	ret  []byte
	logs []*types.Log
	gas  uint64
}

// call runs a call to the token on a state, at a block's time in seconds. With
// an error the state is as it was.
func (t token) call(s *state, from common.Address, data []byte, now uint64) (outcome, error) {
	failed := outcome{gas: gasReverted}
	if len(data) < 4 {
		return failed, revert("")
	}
	method, err := t.abi.MethodById(data)
	if err != nil {
		return failed, revert("")
	}
	args, err := method.Inputs.Unpack(data[4:])
	if err != nil {
		return failed, revert("")
	}
	out, err := t.run(s, from, method.Name, args, now)
	if err != nil {
		return failed, err
	}
	if out.gas == 0 {
		out.gas = gasIntrinsic
	}
	return out, nil
}

func (t token) run(s *state, from common.Address, method string, args []any, now uint64) (outcome, error) {
	view := func(result any) (outcome, error) {
		ret, err := t.abi.Methods[method].Outputs.Pack(result)
		return outcome{ret: ret}, err
	}
	switch method {
	case "name":
		return view(tokenName)
	case "version":
		return view(tokenVersion)
	case "decimals":
		return view(decimals)
	case "DOMAIN_SEPARATOR":
		return view(t.domain)
	case "balanceOf":
		return view(s.account(args[0].(common.Address)).USDC)
	case "authorizationState":
		return view(s.spent[authorization{args[0].(common.Address), args[1].([32]byte)}])
	case "transfer":
		return t.transfer(s, from, args[0].(common.Address), args[1].(*big.Int))
	case "transferWithAuthorization":
		return t.transferWithAuthorization(s, transferTerms{
			from: args[0].(common.Address), to: args[1].(common.Address), value: args[2].(*big.Int),
			after: args[3].(*big.Int), before: args[4].(*big.Int), nonce: args[5].([32]byte),
		}, sig(args[6:]), now)
	case "cancelAuthorization":
		return t.cancelAuthorization(s, authorization{args[0].(common.Address), args[1].([32]byte)}, sig(args[2:]))
	}
	return outcome{}, revert("")
}

func (t token) transfer(s *state, from, to common.Address, value *big.Int) (outcome, error) {
	switch {
	case s.account(from).Blacklisted:
		return outcome{}, revert("Blacklistable: account is blacklisted")
	case to == common.Address{}:
		return outcome{}, revert("ERC20: transfer to the zero address")
	}
	out, err := t.move(s, from, to, value)
	out.ret = word(big.NewInt(1))
	out.gas += gasTransfer
	return out, err
}

// move is what every way of moving tokens ends in.
func (t token) move(s *state, from, to common.Address, value *big.Int) (outcome, error) {
	switch {
	case s.paused:
		return outcome{}, revert("Pausable: paused")
	case s.account(from).Blacklisted || s.account(to).Blacklisted:
		return outcome{}, revert("Blacklistable: account is blacklisted")
	case value.Cmp(s.account(from).USDC) > 0:
		return outcome{}, revert("ERC20: transfer amount exceeds balance")
	}
	var out outcome
	if s.account(to).USDC.Sign() == 0 {
		out.gas = gasNewHolder
	}
	s.moveTokens(from, to, value)
	out.logs = []*types.Log{t.log(word(value), topicTransfer, topic(from), topic(to))}
	return out, nil
}

// transferTerms are what an authorization says.
type transferTerms struct {
	from, to             common.Address
	value, after, before *big.Int // after and before in seconds; both exclusive
	nonce                common.Hash
}

func (t token) transferWithAuthorization(s *state, a transferTerms, signature signature, now uint64) (outcome, error) {
	at, key := new(big.Int).SetUint64(now), authorization{a.from, a.nonce}
	switch {
	case s.paused:
		return outcome{}, revert("Pausable: paused")
	case s.account(a.from).Blacklisted || s.account(a.to).Blacklisted:
		return outcome{}, revert("Blacklistable: account is blacklisted")
	case at.Cmp(a.after) <= 0:
		return outcome{}, revert("FiatTokenV2: authorization is not yet valid")
	case at.Cmp(a.before) >= 0:
		return outcome{}, revert("FiatTokenV2: authorization is expired")
	case s.spent[key]:
		return outcome{}, revert("FiatTokenV2: authorization is used or canceled")
	case !t.signedBy(a.from, signature, transferType, pad(a.from), pad(a.to), word(a.value), word(a.after), word(a.before), a.nonce[:]):
		return outcome{}, revert("FiatTokenV2: invalid signature")
	case a.to == common.Address{}:
		return outcome{}, revert("ERC20: transfer to the zero address")
	}
	out, err := t.move(s, a.from, a.to, a.value)
	if err != nil {
		return outcome{}, err
	}
	s.spent[key] = true
	out.logs = append([]*types.Log{t.log(nil, topicUsed, topic(a.from), a.nonce)}, out.logs...)
	out.gas += gasAuthorized
	return out, nil
}

func (t token) cancelAuthorization(s *state, key authorization, signature signature) (outcome, error) {
	switch {
	case s.paused:
		return outcome{}, revert("Pausable: paused")
	case s.spent[key]:
		return outcome{}, revert("FiatTokenV2: authorization is used or canceled")
	case !t.signedBy(key.authorizer, signature, cancelType, pad(key.authorizer), key.nonce[:]):
		return outcome{}, revert("FiatTokenV2: invalid signature")
	}
	s.spent[key] = true
	return outcome{gas: gasCancel, logs: []*types.Log{t.log(nil, topicCanceled, topic(key.authorizer), key.nonce)}}, nil
}

func (t token) log(data []byte, topics ...common.Hash) *types.Log {
	if data == nil {
		data = []byte{}
	}
	return &types.Log{Address: t.address, Topics: topics, Data: data}
}

// signature is V, R and S as a call has them.
type signature struct {
	v    uint8
	r, s [32]byte
}

func sig(args []any) signature {
	return signature{args[0].(uint8), args[1].([32]byte), args[2].([32]byte)}
}

// signedBy checks an EIP-712 signature of a struct in the token's domain. As
// the contract does, it takes V 27 or 28 and the smaller S only.
func (t token) signedBy(who common.Address, x signature, structType []byte, fields ...[]byte) bool {
	r, s := new(big.Int).SetBytes(x.r[:]), new(big.Int).SetBytes(x.s[:])
	if x.v < 27 || !crypto.ValidateSignatureValues(x.v-27, r, s, true) {
		return false
	}
	message := crypto.Keccak256(structType, bytes.Join(fields, nil))
	digest := crypto.Keccak256([]byte{0x19, 0x01}, t.domain[:], message)
	key, err := crypto.SigToPub(digest, append(append(x.r[:], x.s[:]...), x.v-27))
	return err == nil && crypto.PubkeyToAddress(*key) == who
}

func word(n *big.Int) []byte             { return math.U256Bytes(new(big.Int).Set(n)) }
func pad(a common.Address) []byte        { return common.LeftPadBytes(a[:], 32) }
func topic(a common.Address) common.Hash { return common.BytesToHash(a[:]) }

// revertData is Solidity's encoding of a revert's words: Error(string).
func revertData(r revert) []byte {
	if r == "" {
		return nil
	}
	text, err := abi.NewType("string", "", nil)
	if err != nil {
		panic(err)
	}
	packed, err := abi.Arguments{{Type: text}}.Pack(string(r))
	if err != nil {
		panic(err)
	}
	return append(crypto.Keccak256([]byte("Error(string)"))[:4], packed...)
}
