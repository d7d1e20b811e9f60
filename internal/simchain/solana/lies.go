package solana

import (
	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/internal/simchain"
)

// Swallow says yes to what is sent and loses it.
func (n *Node) Swallow(c simchain.Call) (any, error) {
	if c.Method != sendTransaction {
		return n.Truth(c)
	}
	tx, _, err := sent(c)
	if err != nil {
		return nil, err
	}
	return tx.Signatures[0], nil
}

// Hide has never heard of any transaction.
func (n *Node) Hide(c simchain.Call) (any, error) {
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

// Invent says of every transaction that it is finalized with an error.
func (n *Node) Invent(c simchain.Call) (any, error) {
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

// NoHistory refuses to say anything about transactions of the past.
func (n *Node) NoHistory(c simchain.Call) (any, error) {
	if c.Method == getSignatureStatuses || c.Method == getTransaction {
		return nil, &simchain.Error{Code: noHistory, Message: "Transaction history is not available from this node"}
	}
	return n.Truth(c)
}

// Unhealthy refuses every call, as a node does that knows it is behind.
func (n *Node) Unhealthy(simchain.Call) (any, error) {
	return nil, &simchain.Error{Code: nodeUnhealthy, Message: "Node is unhealthy", Data: map[string]any{"numSlotsBehind": nil}}
}

// LastValid names this height as the end of every blockhash's life.
func (n *Node) LastValid(height uint64) simchain.Handler {
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

// OtherGenesis names another network.
func (n *Node) OtherGenesis(c simchain.Call) (any, error) {
	if c.Method == getGenesisHash {
		return sol.Hash{}, nil
	}
	return n.Truth(c)
}
