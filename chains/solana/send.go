package solana

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// Send hands the bytes to every node at once and returns when one has accepted
// or all have answered. Preflight is skipped, because its opinion about bytes
// that were sent before proves nothing, and nodes do not retry on their own
// (S2). Delivery does not end with ctx.
func (c *Chain) Send(ctx context.Context, tx chains.StoredTx) chains.Verdict {
	return combine(rpcpool.Broadcast(ctx, c.pool,
		func(ctx context.Context, n *rpcpool.Node) chains.Verdict { return send(ctx, n, tx) },
		func(v chains.Verdict) bool { return v.Acceptance == chains.Accepted }))
}

func send(ctx context.Context, n *rpcpool.Node, tx chains.StoredTx) chains.Verdict {
	const method = "sendTransaction"
	request := newCall(method, base64.StdEncoding.EncodeToString(tx.Raw), options{"encoding": "base64", "skipPreflight": true, "maxRetries": 0})
	err := n.Do(ctx, request)
	if err == nil && request.Err != nil {
		err = request.Err
	}
	if err != nil {
		message, _ := decodeMessage(tx.Raw) // without it a program's error has no name
		v := verdictOf(err, message)
		v.Detail = n.Name() + ": " + strings.TrimPrefix(v.Detail, n.Name()+": ")
		if strings.HasSuffix(v.Class, unclassified) {
			n.Unclassified(method)
		}
		return v
	}
	var signature string
	if err := decode(request, &signature); err != nil {
		return chains.Verdict{Acceptance: chains.Unsure, Class: "answer_not_understood", Detail: err.Error()}
	}
	if signature != tx.Hash {
		return chains.Verdict{Acceptance: chains.Unsure, Class: "signature_mismatch", Detail: fmt.Sprintf("%s answered with signature %s", n.Name(), signature)}
	}
	return chains.Verdict{Acceptance: chains.Accepted, Class: "accepted"}
}
