package evm

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// answer is what one node said to a transaction.
type answer struct {
	host   string
	class  Class
	detail string
}

// Send hands the bytes to every node at once, and returns when one has
// accepted or all have answered. It goes on when the caller gives up, since
// half the nodes may have the bytes by then.
func (c *Chain) Send(ctx context.Context, tx chains.StoredTx) chains.Verdict {
	return verdict(rpcpool.Broadcast(ctx, c.pool,
		func(ctx context.Context, n *rpcpool.Node) answer { return c.sendTo(ctx, n, tx) },
		func(a answer) bool { return a.class.acceptance() == chains.Accepted }))
}

func (c *Chain) sendTo(ctx context.Context, n *rpcpool.Node, tx chains.StoredTx) answer {
	const method = "eth_sendRawTransaction"
	var hash common.Hash
	err := ask(ctx, n, &hash, method, hexutil.Bytes(tx.Raw))
	if err == nil && !strings.EqualFold(hash.Hex(), tx.Hash) {
		return answer{n.Name(), ClassHashMismatch, fmt.Sprintf("the node answered with hash %s, the bytes have %s", hash, tx.Hash)}
	}
	a := answer{host: n.Name(), class: classify(err, c.set.errorLines)}
	if err != nil {
		a.detail = strings.TrimPrefix(words(err), n.Name()+": ")
	}
	if a.class == ClassUnclassified {
		n.Unclassified(method)
	}
	return a
}

// weight orders what counts when no node accepted. A used nonce comes first:
// it may have been used by these very bytes, whatever the other nodes say.
var weight = []Class{
	ClassNonceUsed, ClassHashMismatch, ClassMisconfigured, ClassInvalid, ClassFunds, ClassDelegated, ClassUnderpriced,
	ClassReplacement, ClassNonceAhead, ClassReverted, ClassUnclassified, ClassNodeUnfit,
}

// verdict joins the nodes' answers: one acceptance is enough; a definite no
// counts if nobody accepted; all else is unknown.
func verdict(answers []answer) chains.Verdict {
	var details []string
	var accepted, worst *answer
	for i := range answers {
		a := &answers[i]
		if a.detail != "" {
			details = append(details, a.host+": "+a.detail)
		}
		if a.class.acceptance() == chains.Accepted {
			accepted = a
		} else if worst == nil || slices.Index(weight, a.class) < slices.Index(weight, worst.class) {
			worst = a
		}
	}
	v := chains.Verdict{Detail: strings.Join(details, "; ")}
	switch {
	case accepted != nil:
		v.Acceptance, v.Class = chains.Accepted, string(accepted.class)
	case worst != nil:
		v.Acceptance, v.Class = worst.class.acceptance(), string(worst.class)
	default:
		v.Acceptance, v.Class = chains.Unsure, string(ClassNodeUnfit)
	}
	return v
}
