package solana

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/settlehq/settle/chains"
)

// lastWord is how long Send goes on delivering to other nodes after one has
// accepted, while the caller already has its answer.
const lastWord = callTimeout

// Send hands the bytes to every node at once and returns when one has accepted
// or all have answered. Preflight is skipped, because its opinion about bytes
// that were sent before proves nothing, and nodes do not retry on their own
// (S2). Delivery does not end with ctx: what has begun to leave is better
// everywhere than at one node.
func (c *Chain) Send(ctx context.Context, tx chains.StoredTx) chains.Verdict {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWord)
	verdicts := make(chan chains.Verdict, len(c.nodes))
	for _, n := range c.nodes {
		go func() { verdicts <- send(ctx, n, tx) }()
	}
	var all []chains.Verdict
	for range c.nodes {
		v := <-verdicts
		all = append(all, v)
		if v.Acceptance == chains.Accepted {
			break
		}
	}
	time.AfterFunc(lastWord, cancel)
	return combine(all)
}

func send(ctx context.Context, n *node, tx chains.StoredTx) chains.Verdict {
	request := newCall("sendTransaction", base64.StdEncoding.EncodeToString(tx.Raw), options{"encoding": "base64", "skipPreflight": true, "maxRetries": 0})
	if err := n.do(ctx, request); err != nil {
		return verdictOf(err)
	}
	if request.err != nil {
		v := verdictOf(request.err)
		v.Detail = n.name + ": " + v.Detail
		return v
	}
	var signature string
	if err := request.decode(&signature); err != nil {
		return chains.Verdict{Acceptance: chains.Unsure, Class: "answer_not_understood", Detail: err.Error()}
	}
	if signature != tx.Hash {
		return chains.Verdict{Acceptance: chains.Unsure, Class: "signature_mismatch", Detail: fmt.Sprintf("%s answered with signature %s", n.name, signature)}
	}
	return chains.Verdict{Acceptance: chains.Accepted, Class: "accepted"}
}
