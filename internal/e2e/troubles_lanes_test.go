package e2e_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/json"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// pending waits until the node's pool holds a transaction, and returns it.
func (e *onEthereum) pending(t *testing.T, hash string) *types.Transaction {
	t.Helper()
	e.pooled(t, hash)
	tx, _, err := e.client.TransactionByHash(t.Context(), common.HexToHash(hash))
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// crowd raises the base fee above what a transaction offers.
func (e *onEthereum) crowd(t *testing.T, tx *types.Transaction) {
	t.Helper()
	e.node.RaiseBaseFee(t, new(big.Int).Add(tx.GasFeeCap(), big.NewInt(1)))
}

// outbid waits until a payment's transaction was outbid, under its own nonce, by
// one that offers what the market asks for.
func (e *onEthereum) outbid(t *testing.T, id string, first *types.Transaction) {
	t.Helper()
	var last *types.Transaction
	eventually(t, func() bool {
		hashes := e.sent(t, id)
		tx, _, err := e.client.TransactionByHash(t.Context(), common.HexToHash(hashes[len(hashes)-1]))
		if err != nil { // outbid meanwhile, or not there yet
			return false
		}
		last = tx
		return last.GasFeeCap().Cmp(e.market(t)) >= 0
	}, "%s was not outbid", first.Hash())
	if last.Nonce() != first.Nonce() || last.GasFeeCap().Cmp(first.GasFeeCap()) <= 0 {
		t.Fatalf("nonce %d at %s wei per gas, after nonce %d at %s", last.Nonce(), last.GasFeeCap(), first.Nonce(), first.GasFeeCap())
	}
	if slots := e.slots(t, id); len(slots) != 1 {
		t.Fatalf("%d slots, want one with all transactions", len(slots))
	}
}

// market is what the next block asks for, with the tip that the node suggests, in
// wei per gas.
func (e *onEthereum) market(t *testing.T) *big.Int {
	t.Helper()
	head, err := e.client.HeaderByNumber(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	tip, err := e.client.SuggestGasTipCap(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	most := new(big.Int).Div(new(big.Int).Mul(head.BaseFee, big.NewInt(9)), big.NewInt(8))
	return most.Add(most, tip)
}

// paidBy fails the test unless that transaction paid.
func (e *onEthereum) paidBy(t *testing.T, id string, tx *types.Transaction) {
	t.Helper()
	if got := e.Get(t, id).TxHash; got != tx.Hash().Hex() {
		t.Errorf("%s was paid by %s, want %s of %v", id, got, tx.Hash(), e.sent(t, id))
	}
}

// told fails the test unless the merchant was told of a substatus.
func (d *troubled) told(t *testing.T, id string, want payment.Substatus) {
	t.Helper()
	for _, e := range d.Events(t, id) {
		if e.Data.Object.Substatus == want {
			return
		}
	}
	t.Errorf("no event says that %s is %s", id, want)
}

// The base fee rises above what the transaction offers: it is outbid under the
// same nonce, once or more often, and one of those pays.
func (e *onEthereum) stuck(t *testing.T) {
	e.node.Pause(t)
	id := e.order(t, "ethereum", payeeOn(t, "ethereum"))
	first := e.pending(t, e.sent(t, id)[0])
	e.crowd(t, first)
	e.outbid(t, id, first)
	e.node.Resume(t)
	e.overcome(t)
	if by := e.Get(t, id).TxHash; by == first.Hash().Hex() || !slices.Contains(e.sent(t, id), by) {
		t.Errorf("%s was paid by %s, and what outbid %s is among %v", id, by, first.Hash(), e.sent(t, id))
	}
	e.told(t, id, payment.FeeBumped)
}

// The transaction is outbid, and lands all the same: every hash is watched.
func (e *onEthereum) replaced(t *testing.T) {
	e.node.Pause(t)
	id := e.order(t, "ethereum", payeeOn(t, "ethereum"))
	first := e.pending(t, e.sent(t, id)[0])
	e.crowd(t, first)
	e.outbid(t, id, first)
	e.node.SetGasTip(t, 1_000_000_000_000) // keeps everything out of blocks
	e.node.Mine(t, 8)                      // halves the base fee
	e.node.SetGasTip(t, 1)
	e.node.DropPool(t)
	e.send(t, first)
	e.node.Mine(t, 1)
	e.node.Resume(t)
	e.overcome(t)
	e.paidBy(t, id, first)
}

// Somebody else submits the authorization while the node has forgotten our own
// transaction. The payment is made, and the nonce of the lane that nothing is
// left for is used up, so that the payment behind it settles.
func (e *onEthereum) gapped(t *testing.T) {
	e.node.Pause(t)
	first := e.order(t, "ethereum", payeeOn(t, "ethereum"))
	ours := e.pending(t, e.sent(t, first)[0])
	var behind []string
	for range 2 { // one for each lane
		id := e.order(t, "ethereum", payeeOn(t, "ethereum"))
		e.pending(t, e.sent(t, id)[0])
		behind = append(behind, id)
	}
	if !e.queued(t, behind, ours) {
		t.Fatal("no payment is behind the first one on its lane")
	}
	theirs := e.repeated(t, ours)
	e.node.DropPool(t)
	e.send(t, theirs)
	e.node.Mine(t, 1)
	e.node.Resume(t)
	e.overcome(t)
	e.paidBy(t, first, theirs)
	if fill := e.consumer(t, ours); fill.To() == nil || *fill.To() != e.sender(t, ours) || len(fill.Data()) != 0 {
		t.Errorf("the nonce was used by %s, want a transfer of nothing from the lane to itself", fill.Hash())
	}
}

// repeated is the call of a transaction by a stranger: whoever submits an
// authorization, the payee is paid.
func (e *onEthereum) repeated(t *testing.T, ours *types.Transaction) *types.Transaction {
	t.Helper()
	nonce, err := e.client.NonceAt(t.Context(), crypto.PubkeyToAddress(e.stranger.PublicKey), nil)
	if err != nil {
		t.Fatal(err)
	}
	return e.signAs(t, e.stranger, &types.DynamicFeeTx{Nonce: nonce, To: ours.To(), Data: ours.Data(), Gas: ours.Gas(),
		GasTipCap: ours.GasTipCap(), GasFeeCap: ours.GasFeeCap()})
}

func (e *onEthereum) sender(t *testing.T, tx *types.Transaction) common.Address {
	t.Helper()
	from, err := types.Sender(types.LatestSignerForChainID(tx.ChainId()), tx)
	if err != nil {
		t.Fatal(err)
	}
	return from
}

// consumer is the transaction that used the nonce of another one, among the
// newest blocks.
func (e *onEthereum) consumer(t *testing.T, tx *types.Transaction) *types.Transaction {
	t.Helper()
	head, err := e.client.BlockNumber(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range uint64(200) {
		block, err := e.client.BlockByNumber(t.Context(), new(big.Int).SetUint64(head-n))
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range block.Transactions() {
			if x.Nonce() == tx.Nonce() && e.sender(t, x) == e.sender(t, tx) {
				return x
			}
		}
	}
	t.Fatalf("nothing used nonce %d of %s", tx.Nonce(), e.sender(t, tx))
	return nil
}

// Somebody else uses the key of a lane, under the nonce of a payment. The lane is
// frozen and others pay over the next one. The payment waits, visibly; its
// authorization is good, so it is paid once somebody submits it.
func (e *onEthereum) stolen(t *testing.T) {
	e.node.Pause(t)
	id := e.order(t, "ethereum", payeeOn(t, "ethereum"))
	ours := e.pending(t, e.sent(t, id)[0])
	lane := e.sender(t, ours)
	twice := func(n *big.Int) *big.Int { return new(big.Int).Lsh(n, 1) }
	theirs := e.signAs(t, e.laneKey(t, lane), &types.DynamicFeeTx{Nonce: ours.Nonce(), To: &lane, Gas: 21_000,
		GasTipCap: twice(ours.GasTipCap()), GasFeeCap: twice(ours.GasFeeCap())})
	e.send(t, theirs)
	e.node.Resume(t)
	e.laneWas(t, lane.Hex(), "lane.freeze", theirs.Hash().Hex())
	e.bookFee(t, theirs)

	other := e.order(t, "ethereum", payeeOn(t, "ethereum"))
	e.Await(t, within, []string{other}, payment.Settled)
	if over := e.slots(t, other)[0].Transactions[0].Sender; over == lane.Hex() {
		t.Error("paid over the frozen lane")
	}
	if r := e.Get(t, id); r.Status != payment.Submitted {
		t.Errorf("%s is %s, want it to wait", id, r.Status)
	}
	again := e.repeated(t, ours)
	e.send(t, again)
	e.overcome(t)
	e.paidBy(t, id, again)
}

// bookFee books what somebody else's use of a lane has cost, as an operator does.
func (e *onEthereum) bookFee(t *testing.T, tx *types.Transaction) {
	t.Helper()
	receipt, err := e.client.TransactionReceipt(t.Context(), tx.Hash())
	if err != nil {
		t.Fatal(err)
	}
	fee, err := payment.ParseUnits(new(big.Int).Mul(receipt.EffectiveGasPrice, new(big.Int).SetUint64(receipt.GasUsed)).String())
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Store.Tx(t.Context(), func(ctx context.Context, x *store.Tx) error {
		return ledger.NetworkFee(ctx, x, "gas:"+tx.Hash().Hex(), "ethereum", "ETH", fee, time.Now(), "")
	}); err != nil {
		t.Fatal(err)
	}
}

// queued reports whether a payment's transaction is behind tx on its lane.
func (e *onEthereum) queued(t *testing.T, ids []string, tx *types.Transaction) bool {
	t.Helper()
	lane := e.sender(t, tx)
	for _, id := range ids {
		for _, x := range e.slots(t, id)[0].Transactions {
			if x.Sender == lane.Hex() && uint64(*x.Nonce) > tx.Nonce() {
				return true
			}
		}
	}
	return false
}

func (e *onEthereum) send(t *testing.T, tx *types.Transaction) {
	t.Helper()
	if err := e.client.SendTransaction(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
}

func (e *onEthereum) signAs(t *testing.T, key *ecdsa.PrivateKey, tx *types.DynamicFeeTx) *types.Transaction {
	t.Helper()
	tx.ChainID = new(big.Int).SetUint64(e.node.ChainID)
	signed, err := types.SignNewTx(key, types.LatestSignerForChainID(tx.ChainID), tx)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// laneKey reads the key of a lane as a thief would.
func (d *troubled) laneKey(t *testing.T, lane common.Address) *ecdsa.PrivateKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.Dir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	var keys []struct{ Address, Secret string }
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if strings.EqualFold(k.Address, lane.Hex()) {
			key, err := crypto.HexToECDSA(k.Secret)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
	}
	t.Fatalf("no key of %s", lane)
	return nil
}
