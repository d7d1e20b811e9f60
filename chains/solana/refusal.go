package solana

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// refusal says why a finalized transaction failed: the class for programs, the
// chain's own words for people. It is permanent if the payee's token account
// is why, since every other payment into it would fail too.
func (c *Chain) refusal(ctx context.Context, n *rpcpool.Node, w chains.Watched, x wantedTx) (reason string, permanent bool, err error) {
	message, err := decodeMessage(w.Txs[x.tx].Raw)
	if err != nil {
		return "", false, err
	}
	cause := ""
	switch program, code, _ := programError(x.status.Err, message); {
	case program == sol.TokenProgramID && code == tokenFrozen:
		cause, permanent, err = c.whoIsFrozen(ctx, n, w, x.status.Slot)
	case program == sol.SPLAssociatedTokenAccountProgramID && code == ataGivenAway:
		cause, permanent = "the payee has given its token account to somebody else: ", true
	}
	return words(x.status.Err, message, cause), permanent, err
}

// words are the class of a TransactionError for programs, what is known of its
// cause, and the chain's own words for people.
func words(raw json.RawMessage, message *sol.Message, cause string) string {
	return classifyTransactionError(raw, message).name + ": " + cause + strings.TrimSpace(string(raw))
}

// whoIsFrozen looks which token account the token program refused, as of a
// slot or later.
func (c *Chain) whoIsFrozen(ctx context.Context, n *rpcpool.Node, w chains.Watched, since uint64) (who string, payee bool, err error) {
	ata, err := c.payeeAccount(w)
	if err != nil {
		return "", false, err
	}
	call := accountsCall(finalized, c.keys.treasuryATA, ata)
	if err := n.Do(ctx, call); err != nil {
		return "", false, err
	}
	found, slot, err := decodeAccounts(call)
	if err != nil {
		return "", false, err
	}
	if slot < since {
		return "", false, fmt.Errorf("%w: accounts of slot %d, the transaction is in slot %d", chains.ErrUnknown, slot, since)
	}
	switch treasury, payee := isFrozen(found[0]), isFrozen(found[1]); {
	case treasury && payee:
		return "the token accounts of treasury and payee are frozen: ", true, nil
	case treasury:
		return "the treasury's token account is frozen: ", false, nil
	case payee:
		return "the payee's token account is frozen: ", true, nil
	default:
		return "treasury's or payee's token account was frozen, neither is any more: ", false, nil
	}
}

// payeeAccount is the associated token account of a payment's payee.
func (c *Chain) payeeAccount(w chains.Watched) (sol.PublicKey, error) {
	payee, err := sol.PublicKeyFromBase58(w.To)
	if err != nil {
		return sol.PublicKey{}, fmt.Errorf("payee %q: %w", w.To, err)
	}
	return tokenAccount(payee, c.keys.mint)
}
