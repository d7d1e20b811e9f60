package evm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"

	"github.com/settlehq/settle/chains"
)

// answer is what one node said to a transaction.
type answer struct {
	host   string
	class  Class
	detail string
}

// Send hands the bytes to every configured node at once and waits for all of
// them, callTimeout at most. It goes on when the caller gives up, since half
// the nodes may have the bytes by then.
func (c *Chain) Send(ctx context.Context, tx chains.StoredTx) chains.Verdict {
	answers := make([]answer, len(c.nodes.list))
	var all sync.WaitGroup
	for i, n := range c.nodes.list {
		all.Go(func() { answers[i] = sendTo(context.WithoutCancel(ctx), n, tx) })
	}
	all.Wait()
	return verdict(answers)
}

func sendTo(ctx context.Context, n *node, tx chains.StoredTx) answer {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := n.verify(ctx); err != nil {
		return answer{n.host, ClassNodeUnfit, redact(err).Error()}
	}
	var hash common.Hash
	err := redactNil(n.call(ctx, &hash, "eth_sendRawTransaction", hexutil.Bytes(tx.Raw)))
	if err == nil && !strings.EqualFold(hash.Hex(), tx.Hash) {
		return answer{n.host, ClassHashMismatch, fmt.Sprintf("the node answered with hash %s, the bytes have %s", hash, tx.Hash)}
	}
	a := answer{host: n.host, class: classify(err)}
	if err != nil {
		a.detail = err.Error()
	}
	return a
}

func redactNil(err error) error {
	if err == nil {
		return nil
	}
	return redact(err)
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
