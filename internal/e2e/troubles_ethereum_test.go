package e2e_test

import (
	"crypto/ecdsa"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// TestTroublesOnEthereum pays while the chain goes wrong in every way, one after
// the other on the same chain.
func TestTroublesOnEthereum(t *testing.T) {
	t.Parallel()
	var node *sandbox.EthereumNode
	e := &onEthereum{troubled: troubledOn(t, deployment.Options{}, func(s *sandbox.Sandbox) {
		node = sandbox.StartEthereum(t, 250*time.Millisecond)
		s.Descriptor.Ethereum = node.Ethereum
	})}
	e.node = node
	var err error
	if e.client, err = ethclient.DialContext(t.Context(), node.HTTPURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.client.Close)
	if e.stranger, err = crypto.GenerateKey(); err != nil {
		t.Fatal(err)
	}
	node.Fund(t, crypto.PubkeyToAddress(e.stranger.PublicKey).Hex(), big.NewInt(1e18), 0)

	meet(t, []trouble{
		{"Dropped", e.dropped}, {"Reorged", e.reorganised}, {"Reverted", e.reverted}, {"Blacklisted", e.blacklisted}, {"Rerouted", e.rerouted},
		{"Stuck", e.stuck}, {"Replaced", e.replaced}, {"Gapped", e.gapped}, {"ReplacedByAnother", e.stolen},
	})
}

type onEthereum struct {
	*troubled
	node     *sandbox.EthereumNode
	client   *ethclient.Client
	stranger *ecdsa.PrivateKey // of somebody with ether
}

// pooled waits until the node holds a transaction that is in no block.
func (e *onEthereum) pooled(t *testing.T, hash string) {
	t.Helper()
	eventually(t, func() bool { return e.known(t, hash) }, "%s is not in the pool", hash)
}

// known reports whether the node has ever heard of a transaction.
func (e *onEthereum) known(t *testing.T, hash string) bool {
	t.Helper()
	_, _, err := e.client.TransactionByHash(t.Context(), common.HexToHash(hash))
	if err != nil && !errors.Is(err, ethereum.NotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// The node accepts the transaction and forgets it: the same bytes are sent again.
func (e *onEthereum) dropped(t *testing.T) {
	e.node.Pause(t)
	id := e.order(t, "ethereum", payeeOn(t, "ethereum"))
	hash := e.sent(t, id)[0]
	e.pooled(t, hash)
	e.node.DropPool(t)
	if e.known(t, hash) {
		t.Fatal("the node still has the transaction")
	}
	e.node.Resume(t)
	e.overcome(t)
	e.signedOnce(t, id)
}

// The transaction is in a block, and the block is replaced by others without it:
// the merchant is told, and the same bytes are sent again. A machine so slow that
// this is due before the merchant is told has shown nothing: once more, then.
func (e *onEthereum) reorganised(t *testing.T) {
	for range 3 {
		e.node.Pause(t)
		id := e.order(t, "ethereum", payeeOn(t, "ethereum"))
		hash := e.sent(t, id)[0]
		e.pooled(t, hash)
		e.node.Mine(t, 1)
		e.Await(t, within, []string{id}, payment.Confirming)
		e.node.Reorg(t, 1, false)
		e.reorged(t, id)
		again := e.known(t, hash)
		e.node.Resume(t)
		e.overcome(t)
		if !again {
			e.signedOnce(t, id)
			return
		}
	}
	t.Error("the transaction was sent again before it was due each time; the reorgs show nothing")
}

// The token refuses all transfers. A person is asked; once the cause is gone the
// same authorization is submitted again, so it cannot pay twice.
func (e *onEthereum) reverted(t *testing.T) {
	e.node.PauseToken(t, true)
	id := e.order(t, "ethereum", payeeOn(t, "ethereum"))
	e.refused(t, id, "paused")
	e.node.PauseToken(t, false)
	decide(t, e.Deployment, id, payment.Retry)
	e.overcome(t)
	if slots := e.slots(t, id); len(slots) != 1 || len(slots[0].Transactions) != 2 {
		t.Errorf("slots %+v, want one authorization in two transactions", slots)
	}
}

// The token's issuer blocks the payee: the authorization is canceled, and the
// payment has failed when that is final.
func (e *onEthereum) blacklisted(t *testing.T) {
	payee := payeeOn(t, "ethereum")
	e.node.Blacklist(t, payee, true)
	id := e.order(t, "ethereum", payee)
	e.unpaid[id] = payment.Failed
	e.overcome(t)
	e.node.Blacklist(t, payee, false) // nothing is left that could pay now
	if r := e.Get(t, id); r.Failure == nil || r.Failure.Code != "payee_refused" {
		t.Errorf("failure %+v", r.Failure)
	}
	slots := e.slots(t, id)
	if len(slots) != 1 || slots[0].Outcome == nil || !strings.Contains(string(slots[0].Outcome.Proof), "authorization_canceled") {
		t.Errorf("slots %+v, want one with the proof that its authorization is canceled", slots)
	}
}

// The issuer blocks the payee, who can be paid on another chain: the payment goes
// there, and only when it cannot land here any more.
func (e *onEthereum) rerouted(t *testing.T) {
	blocked, free := payeeOn(t, "ethereum"), payeeOn(t, "solana")
	e.node.Blacklist(t, blocked, true)
	order := deployment.To("ethereum", blocked, "1.25")
	order.Destinations = append(order.Destinations, payment.Destination{Chain: "solana", Address: free})
	order.Priority = payment.Fast // by the quicker chain first
	id := e.Pay(t, t.Name(), order).ID
	e.ids = append(e.ids, id)
	e.overcome(t)
	slots := e.slots(t, id)
	if len(slots) != 2 || slots[0].Chain != "ethereum" || slots[0].Outcome.Result != "dead" || slots[1].Chain != "solana" || slots[1].CreatedAt.Before(*slots[0].ClosedAt) {
		t.Errorf("slots %+v, want one that died on Ethereum and then one on Solana", slots)
	}
}
