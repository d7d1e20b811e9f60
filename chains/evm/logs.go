package evm

import (
	"context"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"
)

// noncesPerQuery bounds the topics of one eth_getLogs.
const noncesPerQuery = 200

var (
	topicTransfer = crypto.Keccak256Hash([]byte("Transfer(address,address,uint256)"))
	topicUsed     = crypto.Keccak256Hash([]byte("AuthorizationUsed(address,bytes32)"))
	topicCanceled = crypto.Keccak256Hash([]byte("AuthorizationCanceled(address,bytes32)"))
)

type logEntry struct {
	Address     common.Address `json:"address"`
	Topics      []common.Hash  `json:"topics"`
	Data        hexutil.Bytes  `json:"data"`
	BlockHash   common.Hash    `json:"blockHash"`
	BlockNumber hexutil.Uint64 `json:"blockNumber"`
	TxHash      common.Hash    `json:"transactionHash"`
	Index       hexutil.Uint64 `json:"logIndex"`
	Removed     bool           `json:"removed"`
}

type receipt struct {
	TxHash      common.Hash    `json:"transactionHash"`
	BlockHash   common.Hash    `json:"blockHash"`
	BlockNumber hexutil.Uint64 `json:"blockNumber"`
	Status      hexutil.Uint64 `json:"status"`
	GasUsed     hexutil.Uint64 `json:"gasUsed"`
	GasPrice    *hexutil.Big   `json:"effectiveGasPrice"`
	L1Fee       *hexutil.Big   `json:"l1Fee"` // OP-stack chains charge it on top
	From        common.Address `json:"from"`
	Logs        []logEntry     `json:"logs"`
}

// authorizationKey identifies an authorization to the token.
type authorizationKey struct {
	authorizer common.Address
	nonce      common.Hash
}

// readLogs asks the token for the fate of every watched authorization, from
// the oldest block that any of them may be in up to the head.
func (s *scan) readLogs(ctx context.Context) error {
	byKey := map[authorizationKey]*look{}
	var keys []authorizationKey
	from := uint64(s.heads.latest.Number)
	for _, l := range s.looks {
		if !l.authorized() {
			continue
		}
		key := authorizationKey{l.from, l.nonce}
		byKey[key] = l
		keys = append(keys, key)
		from = min(from, s.chain.unscanned(s.node.Name(), l))
	}
	if len(keys) == 0 {
		return nil
	}
	var b batch
	var results []*[]logEntry
	head := uint64(s.heads.latest.Number)
	for start := from; start <= head; start += s.chain.set.MaxLogRange {
		end := min(head, start+s.chain.set.MaxLogRange-1)
		for part := range slices.Chunk(keys, noncesPerQuery) {
			authorizers, nonces := topics(part)
			logs := new([]logEntry)
			results = append(results, logs)
			b.add(logs, "eth_getLogs", map[string]any{
				"address": s.chain.set.token, "fromBlock": hexutil.Uint64(start), "toBlock": hexutil.Uint64(end),
				"topics": []any{[]common.Hash{topicUsed, topicCanceled}, authorizers, nonces},
			})
		}
	}
	if err := b.do(ctx, s.node); err != nil {
		return err
	}
	for _, logs := range results {
		for i := range *logs {
			e := &(*logs)[i]
			if e.Removed || e.Address != s.chain.set.token || len(e.Topics) != 3 {
				continue
			}
			l := byKey[authorizationKey{common.BytesToAddress(e.Topics[1][:]), e.Topics[2]}]
			switch {
			case l == nil:
			case e.Topics[0] == topicUsed:
				l.used = e
			case e.Topics[0] == topicCanceled:
				l.canceled = e
			}
		}
	}
	return nil
}

// topics are the indexed arguments of the authorizations' logs: their
// authorizers, each once, and their nonces.
func topics(keys []authorizationKey) (authorizers, nonces []common.Hash) {
	for _, k := range keys {
		if a := common.BytesToHash(k.authorizer[:]); !slices.Contains(authorizers, a) {
			authorizers = append(authorizers, a)
		}
		nonces = append(nonces, k.nonce)
	}
	return authorizers, nonces
}

// transfer returns the index in the receipt of the one Transfer of the payout
// token with exactly these terms; ok is false if there is none or more.
func (r *receipt) transfer(token common.Address, l *look) (at int, ok bool) {
	found := 0
	for i, e := range r.Logs {
		if isTransfer(e, token, l) {
			at = i
			found++
		}
	}
	return at, found == 1
}

// authorizedTransfer returns the index in the receipt of the Transfer that
// belongs to the authorization: the log right behind its AuthorizationUsed,
// since the token emits the two together. A transaction may carry many.
func (r *receipt) authorizedTransfer(token common.Address, l *look) (at int, ok bool) {
	for i, e := range r.Logs {
		if e.Address == token && len(e.Topics) == 3 && e.Topics[0] == topicUsed &&
			common.BytesToAddress(e.Topics[1][:]) == l.from && e.Topics[2] == l.nonce {
			at = i + 1
			return at, at < len(r.Logs) && isTransfer(r.Logs[at], token, l)
		}
	}
	return 0, false
}

// transfersAt reports whether the log at an index of the receipt is a Transfer
// of the token from an account, whatever its payee and amount.
func (r *receipt) transfersAt(token, from common.Address, at int) bool {
	if at <= 0 || at >= len(r.Logs) {
		return false
	}
	e := r.Logs[at]
	return e.Address == token && len(e.Topics) == 3 && e.Topics[0] == topicTransfer && common.BytesToAddress(e.Topics[1][:]) == from
}

func isTransfer(e logEntry, token common.Address, l *look) bool {
	return e.Address == token && len(e.Topics) == 3 && e.Topics[0] == topicTransfer &&
		common.BytesToAddress(e.Topics[1][:]) == l.from && common.BytesToAddress(e.Topics[2][:]) == l.to &&
		len(e.Data) == 32 && common.BytesToHash(e.Data).Big().Cmp(l.value) == 0
}
