package evm_test

import (
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/chaintest"
	"github.com/settlehq/settle/chains/evm"
	"github.com/settlehq/settle/chains/evm/fiattoken"
	"github.com/settlehq/settle/chains/evm/multicall3"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// bundle is a node whose blocks the test makes, and a chain on it.
type bundle struct {
	*testing.T
	node    *sandbox.EthereumNode
	wallets sandbox.EthereumWallets
	cfg     evm.Config
	chain   *evm.Chain
	payees  sandbox.EthereumKeys
	intents int
}

func setup(t *testing.T, change func(*evm.Config)) *bundle {
	t.Helper()
	b := &bundle{T: t, node: sandbox.StartEthereum(t, -1)}
	b.wallets = b.node.NewWallets(t, 2)
	b.cfg = config(b.node, b.node.HTTPURL, chaintest.Wallets{Treasury: b.wallets.Treasury, Lanes: b.wallets.Lanes}, evm.MethodEIP3009)
	if change != nil {
		change(&b.cfg)
	}
	b.chain = b.open(b.cfg)
	return b
}

func (b *bundle) open(cfg evm.Config) *evm.Chain {
	b.Helper()
	c, err := evm.Open(b.Context(), cfg, b.wallets)
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	return c
}

// order is a new intent on a lane.
func (b *bundle) order(lane string, nonce uint64) chains.Order {
	b.Helper()
	b.intents++
	return chains.Order{
		IntentID: "pi_" + strings.Repeat("0", b.intents), Seq: 1, To: b.payees.New(b.T), Amount: payment.Units(1_000_000),
		Lane: chains.Lane{Address: lane, Nonce: nonce}, ValidFor: time.Hour, Now: time.Now(),
	}
}

func (b *bundle) sign(c *evm.Chain, o chains.Order) chains.Signed {
	b.Helper()
	s, err := c.Sign(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bundle) send(c *evm.Chain, s chains.Signed) {
	b.Helper()
	if v := c.Send(b.Context(), bytesOf(s)); v.Acceptance != chains.Accepted {
		b.Fatalf("send: %+v", v)
	}
}

func watch(o chains.Order, txs ...chains.Signed) chains.Watched {
	w := chains.Watched{IntentID: o.IntentID, SlotID: o.IntentID, Slot: txs[0].Slot, To: o.To, Amount: o.Amount}
	for _, s := range txs {
		w.Txs = append(w.Txs, bytesOf(s))
	}
	return w
}

func bytesOf(s chains.Signed) chains.StoredTx {
	return chains.StoredTx{Hash: s.Tx.Hash, Raw: s.Tx.Raw}
}

func (b *bundle) scan(w ...chains.Watched) []chains.Sighting {
	b.Helper()
	got, err := b.chain.Scan(b.Context(), w)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

func (b *bundle) want(w chains.Watched, kind chains.SightingKind) chains.Sighting {
	b.Helper()
	got := b.scan(w)[0]
	if got.Kind != kind {
		b.Fatalf("seen as %+v, want %s", got, kind)
	}
	return got
}

// TestPaidWhoeverSubmits has a stranger submit the authorization. Our own
// transaction is never sent.
func TestPaidWhoeverSubmits(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	o := b.order(b.wallets.Lanes[0], 0)
	ours := b.sign(b.chain, o)

	stranger := b.wallets.New(t)
	b.node.Fund(t, stranger, big.NewInt(1e18), 0)
	cfg := b.cfg
	cfg.Lanes = []string{stranger}
	theirs := b.open(cfg)
	front := o
	front.Lane, front.Reuse = chains.Lane{Address: stranger}, &ours.Slot
	s := b.sign(theirs, front)
	b.send(theirs, s)

	w := watch(o, ours)
	b.want(w, chains.Unseen)
	b.node.Mine(t, 1)
	b.want(w, chains.Included)
	b.node.Mine(t, 1)
	b.want(w, chains.Included)
	b.node.Mine(t, 1)
	paid := b.want(w, chains.Paid)
	if paid.TxHash != s.Tx.Hash || paid.Sender != stranger {
		t.Errorf("paid by %s of %s, want %s of %s", paid.TxHash, paid.Sender, s.Tx.Hash, stranger)
	}
}

// TestBatchOfStrangers pays two authorizations in one transaction: each has
// its own transfer.
func TestBatchOfStrangers(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	var watched []chains.Watched
	var calls []multicall3.Multicall3Call3
	for range 2 {
		o := b.order(b.wallets.Lanes[0], 0)
		o.Amount = payment.Units(1_000_000)
		s := b.sign(b.chain, o)
		var tx types.Transaction
		if err := tx.UnmarshalBinary(s.Tx.Raw); err != nil {
			t.Fatal(err)
		}
		calls = append(calls, multicall3.Multicall3Call3{Target: *tx.To(), CallData: tx.Data()})
		watched = append(watched, watch(o, s))
	}
	b.submit(common.HexToAddress(b.node.Multicall3), multicall3.NewMulticall3().PackAggregate3(calls))
	b.node.Mine(t, 3)
	got := b.scan(watched...)
	for i, s := range got {
		if s.Kind != chains.Paid {
			t.Errorf("payment %d: %+v", i, s)
		}
	}
	if got[0].TxHash != got[1].TxHash || got[0].LogIndex == got[1].LogIndex {
		t.Errorf("want one transaction and two logs: %+v", got)
	}
}

// submit sends a call from lane 1, outside Settle.
func (b *bundle) submit(to common.Address, data []byte) {
	b.Helper()
	client, err := ethclient.Dial(b.node.HTTPURL)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	key, err := crypto.HexToECDSA(b.wallets.Key(b.wallets.Lanes[1]))
	if err != nil {
		b.Fatal(err)
	}
	id := new(big.Int).SetUint64(b.node.ChainID)
	tx := types.MustSignNewTx(key, types.LatestSignerForChainID(id), &types.DynamicFeeTx{
		ChainID: id, GasTipCap: big.NewInt(1e9), GasFeeCap: big.NewInt(1e11), Gas: 500_000, To: &to, Data: data,
	})
	if err := client.SendTransaction(b.Context(), tx); err != nil {
		b.Fatal(err)
	}
}

// TestCanceledAuthorizationIsDead cancels on chain, as the treasury may.
func TestCanceledAuthorizationIsDead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	o := b.order(b.wallets.Lanes[0], 0)
	s := b.sign(b.chain, o)
	w := watch(o, s)

	token := common.HexToAddress(b.node.Ethereum.USDC)
	nonce := common.HexToHash(s.Slot.Nonce)
	digest, _, err := apitypes.TypedDataAndHash(apitypes.TypedData{
		Types: apitypes.Types{
			"EIP712Domain":        {{Name: "name", Type: "string"}, {Name: "version", Type: "string"}, {Name: "chainId", Type: "uint256"}, {Name: "verifyingContract", Type: "address"}},
			"CancelAuthorization": {{Name: "authorizer", Type: "address"}, {Name: "nonce", Type: "bytes32"}},
		},
		PrimaryType: "CancelAuthorization",
		Domain:      apitypes.TypedDataDomain{Name: "USD Coin", Version: "2", ChainId: math.NewHexOrDecimal256(int64(b.node.ChainID)), VerifyingContract: token.Hex()},
		Message:     apitypes.TypedDataMessage{"authorizer": b.wallets.Treasury, "nonce": nonce.Hex()},
	})
	if err != nil {
		t.Fatal(err)
	}
	sig, err := b.wallets.Sign(t.Context(), b.wallets.Treasury, digest)
	if err != nil {
		t.Fatal(err)
	}
	b.submit(token, fiattoken.NewFiatToken().PackCancelAuthorization(common.HexToAddress(b.wallets.Treasury), nonce, sig[64]+27, [32]byte(sig[:32]), [32]byte(sig[32:64])))
	b.node.Mine(t, 1)
	b.want(w, chains.Unseen)
	b.node.Mine(t, 2)
	if dead := b.want(w, chains.Dead); !strings.Contains(string(dead.Proof), "authorization_canceled") {
		t.Errorf("proof %s", dead.Proof)
	}
}

// TestRevertedAuthorizationStaysOpen pays a blacklisted payee, who is let off
// afterwards: the same authorization then pays over another lane.
func TestRevertedAuthorizationStaysOpen(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	o := b.order(b.wallets.Lanes[0], 0)
	s := b.sign(b.chain, o)
	w := watch(o, s)
	b.node.Blacklist(t, o.To, true)
	b.send(b.chain, s)
	b.node.Mine(t, 1)
	b.want(w, chains.Unseen) // reverted, but not finally
	b.node.Mine(t, 2)
	got := b.want(w, chains.Reverted)
	if got.SlotDead || !got.Permanent || !strings.Contains(got.Reason, "Blacklistable: account is blacklisted") || got.Fee.IsZero() || len(got.Proof) == 0 {
		t.Errorf("sighting %+v", got)
	}

	b.node.Blacklist(t, o.To, false)
	again := o
	again.Lane, again.Reuse = chains.Lane{Address: b.wallets.Lanes[1]}, &s.Slot
	second := b.sign(b.chain, again)
	w = watch(o, s, second)
	b.want(w, chains.Unseen)
	b.send(b.chain, second)
	b.node.Mine(t, 3)
	b.want(w, chains.Paid)
}

// TestRevertedAfterOutbidding: of the payments that share a lane nonce, the one
// that was mined speaks for the others.
func TestRevertedAfterOutbidding(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	o := b.order(b.wallets.Lanes[0], 0)
	first := b.sign(b.chain, o)
	b.node.Blacklist(t, o.To, true)
	b.send(b.chain, first)
	again := o
	again.Reuse, again.Replaces = &first.Slot, []chains.StoredTx{bytesOf(first)}
	second := b.sign(b.chain, again)
	b.send(b.chain, second)
	elsewhere := again
	elsewhere.Lane, elsewhere.Replaces = chains.Lane{Address: b.wallets.Lanes[1]}, nil
	third := b.sign(b.chain, elsewhere)
	b.node.Mine(t, 3)
	b.want(watch(o, first, second, third), chains.Unseen) // the third may still be mined
	got := b.want(watch(o, first, second), chains.Reverted)
	if got.TxHash != second.Tx.Hash || !strings.Contains(got.Reason, "blacklisted") {
		t.Errorf("sighting %+v", got)
	}
}

// TestFilledAuthorizationStaysOpen: what took the lane nonce has paid nothing
// and failed nothing. The authorization pays over another lane.
func TestFilledAuthorizationStaysOpen(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	o := b.order(b.wallets.Lanes[0], 0)
	s := b.sign(b.chain, o)
	b.send(b.chain, s)
	fill, err := b.chain.Fill(t.Context(), o.Lane, []chains.StoredTx{bytesOf(s)})
	if err != nil {
		t.Fatal(err)
	}
	b.send(b.chain, chains.Signed{Tx: fill})
	b.node.Mine(t, 3)
	w := watch(o, s, chains.Signed{Tx: fill})
	b.want(w, chains.Unseen)

	over := o
	over.Lane, over.Reuse = chains.Lane{Address: b.wallets.Lanes[1]}, &s.Slot
	second := b.sign(b.chain, over)
	b.send(b.chain, second)
	b.node.Mine(t, 3)
	b.want(watch(o, s, chains.Signed{Tx: fill}, second), chains.Paid)
}

// TestPlainTransferKeepsItsNonce: a second nonce would be a second payment.
func TestPlainTransferKeepsItsNonce(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *evm.Config) { c.Method, c.Treasury = evm.MethodTransfer, c.Lanes[0] })
	o := b.order(b.wallets.Lanes[0], 0)
	s := b.sign(b.chain, o)
	o.Reuse = &s.Slot
	if _, err := b.chain.Sign(t.Context(), o); err == nil {
		t.Error("signed a second transfer for the slot that replaces nothing")
	}
	o.Lane.Nonce = 1
	later := b.sign(b.chain, b.order(b.wallets.Lanes[0], 1))
	o.Replaces = []chains.StoredTx{bytesOf(later)}
	if _, err := b.chain.Sign(t.Context(), o); err == nil {
		t.Error("signed a second transfer for the slot under another nonce")
	}
}

// TestRevertedTransferKillsTheSlot: its account nonce is used.
func TestRevertedTransferKillsTheSlot(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *evm.Config) { c.Method, c.Treasury = evm.MethodTransfer, c.Lanes[0] })
	o := b.order(b.wallets.Lanes[0], 0) // holds no tokens
	s := b.sign(b.chain, o)
	b.send(b.chain, s)
	b.node.Mine(t, 3)
	got := b.want(watch(o, s), chains.Reverted)
	if !got.SlotDead || !strings.Contains(got.Reason, "ERC20: transfer amount exceeds balance") {
		t.Errorf("sighting %+v", got)
	}
}

func TestFinalityByDepth(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *evm.Config) { c.Finality = evm.Finality{Depth: 4} })
	o := b.order(b.wallets.Lanes[0], 0)
	s := b.sign(b.chain, o)
	b.send(b.chain, s)
	b.node.Mine(t, 4)
	b.want(watch(o, s), chains.Included)
	b.node.Mine(t, 1)
	b.want(watch(o, s), chains.Paid)
}

// TestFeesAboveTheCap signs at the configured maximum and says so.
func TestFeesAboveTheCap(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *evm.Config) { c.MaxFeeGwei, c.MinTipWei = 1, 1_000_000_000 })
	now, _ := b.chain.Conditions()
	if now.Detail["fee_capped"] != true {
		t.Errorf("conditions %+v", now)
	}
	o := b.order(b.wallets.Lanes[0], 0)
	s := b.sign(b.chain, o)
	if s.Tx.FeeCap.Cmp(payment.Units(1_000_000_000)) != 0 || !s.Tx.FeeCapped {
		t.Errorf("fee cap %s, capped %v, want 1 gwei and capped", s.Tx.FeeCap, s.Tx.FeeCapped)
	}
	o.Reuse, o.Replaces = &s.Slot, []chains.StoredTx{bytesOf(s)}
	if _, err := b.chain.Sign(t.Context(), o); !errors.Is(err, chains.ErrFeeCapped) {
		t.Errorf("outbid at the maximum: %v, want ErrFeeCapped", err)
	}
	fill, err := b.chain.Fill(t.Context(), o.Lane, o.Replaces) // up to 2 gwei
	if err != nil {
		t.Fatalf("fill above the payment's maximum: %v", err)
	}
	for err == nil {
		if fill.FeeCap.Cmp(payment.Units(2_000_000_000)) > 0 || fill.GasLimit != 30_000 {
			t.Fatalf("filled at %s with %d gas", fill.FeeCap, fill.GasLimit)
		}
		fill, err = b.chain.Fill(t.Context(), o.Lane, []chains.StoredTx{{Hash: fill.Hash, Raw: fill.Raw}})
	}
	if !errors.Is(err, chains.ErrFeeCapped) {
		t.Errorf("filled at the maximum: %v, want ErrFeeCapped", err)
	}
}

// TestOrdersBoundTheFee: an order may cap its own cost below the chain's.
func TestOrdersBoundTheFee(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	o := b.order(b.wallets.Lanes[0], 0)
	free := b.sign(b.chain, o).Tx
	if free.FeeCapped {
		t.Errorf("capped at %s without need", free.FeeCap)
	}
	o.MaxFee = payment.Units(free.GasLimit * 20_000_000) // 0.02 gwei
	if tx := b.sign(b.chain, o).Tx; tx.MaxFee.Cmp(o.MaxFee) > 0 || !tx.FeeCapped {
		t.Errorf("may cost %s of %s, capped %v", tx.MaxFee, o.MaxFee, tx.FeeCapped)
	}
	o.MaxFee = payment.Units(free.GasLimit) // below the least tip
	if _, err := b.chain.Sign(t.Context(), o); !errors.Is(err, chains.ErrFeeCapped) {
		t.Errorf("%v, want ErrFeeCapped", err)
	}
}

func TestOpenRefusesTheWrongToken(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for name, change := range map[string]func(*evm.Config){
		"no contract":        func(c *evm.Config) { c.Token = b.payees.New(t) },
		"another contract":   func(c *evm.Config) { c.Token = b.node.Multicall3 },
		"another version":    func(c *evm.Config) { c.TokenVersion = "1" },
		"another name":       func(c *evm.Config) { c.TokenName = "USDC" },
		"treasury is a lane": func(c *evm.Config) { c.Treasury = c.Lanes[0] },
	} {
		cfg := b.cfg
		change(&cfg)
		if _, err := evm.Open(t.Context(), cfg, b.wallets); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// TestBalancesWithAndWithoutMulticall must agree.
func TestBalancesWithAndWithoutMulticall(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.node.Mine(t, 2)
	ask := []string{b.wallets.Treasury, strings.ToLower(b.wallets.Lanes[0])}
	cfg := b.cfg
	cfg.Multicall3 = ""
	for name, c := range map[string]*evm.Chain{"multicall3": b.chain, "one by one": b.open(cfg)} {
		got, err := c.Balances(t.Context(), ask)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Token[ask[0]].String() != "1000000000000" || !got.Native[ask[0]].IsZero() || !got.Token[ask[1]].IsZero() || got.Native[ask[1]].String() != "10000000000000000000" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
