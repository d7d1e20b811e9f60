package ethereum

import (
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/internal/simchain"
)

// Hides is a node that has never heard of any transaction: no receipts, no
// logs.
func (n *Node) Hides(c simchain.Call) (any, error) {
	switch c.Method {
	case "eth_getTransactionReceipt", "eth_getTransactionByHash":
		return nil, nil
	case "eth_getLogs":
		return []any{}, nil
	}
	return n.Truth(c)
}

// Flips is a node whose receipts say failed of what succeeded, and the other
// way round.
func (n *Node) Flips(c simchain.Call) (any, error) {
	truth, err := n.Truth(c)
	if r, ok := truth.(rpcReceipt); ok {
		r.Status = 1 - r.Status
		return r, err
	}
	return truth, err
}

// Swallows is a node that says yes to transactions and throws them away.
func (n *Node) Swallows(c simchain.Call) (any, error) {
	if c.Method != "eth_sendRawTransaction" {
		return n.Truth(c)
	}
	var raw hexutil.Bytes
	if err := c.Param(0, &raw); err != nil {
		return nil, err
	}
	return crypto.Keccak256Hash(raw), nil
}

// Counts returns a node that has seen so many transactions of every account
// more than there are.
func (n *Node) Counts(more uint64) simchain.Handler {
	return func(c simchain.Call) (any, error) {
		truth, err := n.Truth(c)
		if nonce, ok := truth.(hexutil.Uint64); ok && c.Method == "eth_getTransactionCount" {
			return nonce + hexutil.Uint64(more), err
		}
		return truth, err
	}
}
