package solana

import (
	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/internal/simchain"
)

// Swallows is a node that says yes to transactions and throws them away.
func (n *Node) Swallows(c simchain.Call) (any, error) {
	if c.Method != sendTransaction {
		return n.Truth(c)
	}
	tx, _, err := sent(c)
	if err != nil {
		return nil, err
	}
	return tx.Signatures[0], nil
}

// Hides is a node that has never heard of any transaction.
func (n *Node) Hides(c simchain.Call) (any, error) {
	truth, err := n.Truth(c)
	if err != nil {
		return nil, err
	}
	switch c.Method {
	case getSignatureStatuses:
		said := truth.(withContext)
		said.Value = make([]*status, len(said.Value.([]*status)))
		return said, nil
	case getTransaction:
		return nil, nil
	}
	return truth, nil
}

// Invents is a node that says of every transaction that it is finalized with an
// error.
func (n *Node) Invents(c simchain.Call) (any, error) {
	truth, err := n.Truth(c)
	if err != nil || c.Method != getSignatureStatuses {
		return truth, err
	}
	said := truth.(withContext)
	invented := make([]*status, len(said.Value.([]*status)))
	for i := range invented {
		invented[i] = &status{Slot: firstSlot, Err: instructionError(0, custom(tooFewTokens)), ConfirmationStatus: finalized}
	}
	said.Value = invented
	return said, nil
}

// LacksHistory is a node that knows nothing about transactions, and says so.
func (n *Node) LacksHistory(c simchain.Call) (any, error) {
	if c.Method == getSignatureStatuses || c.Method == getTransaction {
		return nil, &simchain.Error{Code: noHistory, Message: "Transaction history is not available from this node"}
	}
	return n.Truth(c)
}

// IsUnhealthy is a node that refuses every call, since it knows it is behind.
func (n *Node) IsUnhealthy(simchain.Call) (any, error) {
	return nil, &simchain.Error{Code: nodeUnhealthy, Message: "Node is unhealthy", Data: map[string]any{"numSlotsBehind": nil}}
}

// EndsAt returns a node that names this height as the last at which a blockhash
// is valid.
func (n *Node) EndsAt(height uint64) simchain.Handler {
	return func(c simchain.Call) (any, error) {
		truth, err := n.Truth(c)
		if err != nil || c.Method != getLatestBlockhash {
			return truth, err
		}
		said := truth.(withContext)
		said.Value = latestBlockhash{said.Value.(latestBlockhash).Blockhash, height}
		return said, nil
	}
}

// IsElsewhere is a node of another network.
func (n *Node) IsElsewhere(c simchain.Call) (any, error) {
	if c.Method == getGenesisHash {
		return sol.Hash{}, nil
	}
	return n.Truth(c)
}
