package solana

import (
	"fmt"
	"slices"

	"github.com/settlehq/settle/internal/simchain"
)

// Node is one view of the chain, with an endpoint of its own. Faults are put in
// place by [simchain.Server.Strike]; the lies in lies.go are handlers for them.
// It is safe for concurrent use.
type Node struct {
	*simchain.Server
	chain *Chain

	lag   uint64 // blocks; these two are under chain.mu
	first uint64 // slot
}

// Node adds a node to the network. The caller closes it.
func (c *Chain) Node() *Node {
	n := &Node{chain: c}
	n.Server = simchain.Start(n.answer)
	return n
}

// SetLag keeps the node so many blocks behind the chain. What is sent to it
// reaches the leaders at once.
func (n *Node) SetLag(blocks uint64) {
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	n.lag = blocks
}

// SetHistory has the node know blocks and transactions from a slot on only. It
// says so if it is asked for its first available block.
func (n *Node) SetHistory(from uint64) {
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	n.first = from
}

func (n *Node) answer(call simchain.Call) (any, error) {
	method, known := methods[call.Method]
	if !known {
		return nil, simchain.Unsupported(call)
	}
	n.chain.mu.Lock()
	defer n.chain.mu.Unlock()
	return method(n.view(), call)
}

// view is the chain as a node sees it: the heights of its newest blocks, and
// the slot with which its history begins.
type view struct {
	*Chain
	processed, confirmed, finalized uint64
	first                           uint64
}

func (n *Node) view() view {
	c := n.chain
	back := func(height, blocks uint64) uint64 { return max(height, firstHeight+blocks) - blocks }
	v := view{Chain: c, finalized: back(c.final, n.lag), first: max(n.first, firstSlot)}
	v.processed = max(back(c.tip().height, n.lag), v.finalized)
	v.confirmed = max(back(v.processed, c.genesis.Confirmed), v.finalized)
	return v
}

// level names the commitment of a block that the node sees.
func (v view) level(height uint64) string {
	switch {
	case height <= v.finalized:
		return finalized
	case height <= v.confirmed:
		return confirmed
	}
	return processed
}

const (
	processed = "processed"
	confirmed = "confirmed"
	finalized = "finalized"
)

// block is the newest one of the commitment that the options ask for, finalized
// by default; an error if that is older than they demand.
func (v view) block(o options) (*block, error) {
	var b *block
	switch o.Commitment {
	case processed:
		b = v.at(v.processed)
	case confirmed:
		b = v.at(v.confirmed)
	case "", finalized:
		b = v.at(v.finalized)
	default:
		return nil, &simchain.Error{Code: simchain.InvalidParams, Message: fmt.Sprintf("Invalid params: unknown variant `%s`", o.Commitment)}
	}
	if o.MinContextSlot > b.slot {
		return nil, &simchain.Error{Code: contextSlotNotReached, Message: "Minimum context slot has not been reached", Data: map[string]uint64{"contextSlot": b.slot}}
	}
	return b, nil
}

// inSlot is the block in a slot, up to a height.
func (v view) inSlot(slot, upTo uint64) (*block, error) {
	if slot > v.at(upTo).slot {
		return nil, &simchain.Error{Code: blockNotAvailable, Message: fmt.Sprintf("Block not available for slot %d", slot)}
	}
	if slot < v.first {
		return nil, &simchain.Error{Code: blockCleanedUp, Message: fmt.Sprintf("Block %d cleaned up, does not exist on node. First available block: %d", slot, v.first)}
	}
	i, there := slices.BinarySearchFunc(v.blocks, slot, func(b *block, slot uint64) int { return int(b.slot) - int(slot) })
	if !there {
		return nil, &simchain.Error{Code: slotSkipped, Message: fmt.Sprintf("Slot %d was skipped, or missing due to ledger jump to recent snapshot", slot)}
	}
	return v.blocks[i], nil
}

// Error codes of agave (rpc-client-api/src/custom_error.rs).
const (
	blockCleanedUp        = -32001
	preflightFailure      = -32002
	signatureFailure      = -32003
	blockNotAvailable     = -32004
	nodeUnhealthy         = -32005
	slotSkipped           = -32007
	noHistory             = -32011
	contextSlotNotReached = -32016
)
