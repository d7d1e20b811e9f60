package solana_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	sol "github.com/gagliardetto/solana-go"
	"github.com/gagliardetto/solana-go/programs/system"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/simchain"
	simulated "github.com/settlehq/settle/internal/simchain/solana"
	"github.com/settlehq/settle/payment"
)

// bundle is a simulated chain with one node, and the real client on it.
type bundle struct {
	testing.TB
	net            *simulated.Chain
	node           *simulated.Node
	keys           *simulated.Keys
	treasury, lane sol.PublicKey
	payees         int
	chain          *solana.Chain
}

const (
	laneLamports   = 100 * sol.LAMPORTS_PER_SOL
	treasuryTokens = 1_000_000_000 // base units
)

func setup(t testing.TB) *bundle { return begin(t, simulated.Genesis{}) }

func begin(t testing.TB, g simulated.Genesis) *bundle {
	t.Helper()
	b := &bundle{TB: t, keys: simulated.NewKeys("test")}
	b.treasury, b.lane = b.keys.Add("treasury"), b.keys.Add("lane")
	g.Accounts = map[sol.PublicKey]simulated.Account{b.treasury: {Tokens: treasuryTokens}, b.lane: {Lamports: laneLamports}}
	b.net = simulated.New(g)
	b.node = b.net.Node()
	t.Cleanup(b.node.Close)
	b.chain = b.open(b.node)
	return b
}

func (b *bundle) newPayee() sol.PublicKey {
	b.payees++
	return b.keys.Add(fmt.Sprint("payee ", b.payees))
}

func (b *bundle) height() uint64 {
	_, height := b.net.Head()
	return height
}

func (b *bundle) slot() uint64 {
	slot, _ := b.net.Head()
	return slot
}

func (b *bundle) open(nodes ...*simulated.Node) *solana.Chain {
	b.Helper()
	cfg := solana.Config{
		Name: "solana", GenesisHash: b.net.GenesisHash(), Mint: b.net.Mint(), Decimals: payment.USDC.Decimals,
		Treasury: b.treasury.String(), Lanes: []string{b.lane.String()}, PollIntervalMS: 10,
	}
	for _, n := range nodes {
		cfg.RPCURLs = append(cfg.RPCURLs, n.URL)
	}
	c, err := solana.Open(b.Context(), cfg, b.keys)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// sign refreshes and signs a payment to a new payee.
func (b *bundle) sign(units uint64) chains.Watched {
	b.Helper()
	if err := b.chain.Refresh(b.Context()); err != nil {
		b.Fatal(err)
	}
	to := b.newPayee().String()
	o := chains.Order{IntentID: "pi_" + to, Seq: 1, To: to, Amount: payment.Units(units), Lane: chains.Lane{Address: b.lane.String()}}
	s, err := b.chain.Sign(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	return chains.Watched{IntentID: o.IntentID, SlotID: o.IntentID, Slot: s.Slot, To: to, Amount: o.Amount, Txs: []chains.StoredTx{{Hash: s.Tx.Hash, Raw: s.Tx.Raw}}}
}

func (b *bundle) send(w chains.Watched, want chains.Acceptance) chains.Verdict {
	b.Helper()
	v := b.chain.Send(b.Context(), w.Txs[0])
	if v.Acceptance != want {
		b.Fatalf("send: %+v, want %s", v, want)
	}
	return v
}

func (b *bundle) want(w chains.Watched, kind chains.SightingKind) chains.Sighting {
	b.Helper()
	got, err := b.chain.Scan(b.Context(), []chains.Watched{w})
	if err != nil {
		b.Fatal(err)
	}
	if got[0].Kind != kind {
		b.Fatalf("seen as %+v, want %s", got[0], kind)
	}
	return got[0]
}

func (b *bundle) wantTokens(w chains.Watched, units uint64) {
	b.Helper()
	if got := b.net.Account(sol.MustPublicKeyFromBase58(w.To)).Tokens; got != units {
		b.Fatalf("the payee has %d, want %d", got, units)
	}
}

// call asks the node, past the client.
func (b *bundle) call(method string, params ...any) (result json.RawMessage, failure *simchain.Error) {
	b.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.Post(b.node.URL, "application/json", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  *simchain.Error
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		b.Fatal(err)
	}
	return answer.Result, answer.Error
}

func (b *bundle) number(method string, params ...any) uint64 {
	b.Helper()
	result, failure := b.call(method, params...)
	var n uint64
	if failure != nil || json.Unmarshal(result, &n) != nil {
		b.Fatalf("%s: %s (%v)", method, result, failure)
	}
	return n
}

type options map[string]any

func TestBytesLandUpToTheLastValidHeightAndNotAbove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	last, late := b.sign(1), b.sign(2)
	b.net.AdvanceEmpty(int(last.Slot.ExpiresHeight - b.height() - 1))
	b.send(last, chains.Accepted)
	b.net.Advance(1)
	b.wantTokens(last, 1)
	b.send(late, chains.Accepted)
	b.net.Advance(33)
	b.wantTokens(late, 0)
	b.want(last, chains.Paid)
	b.want(late, chains.Dead)
}

func TestReorgTakesAPaymentBackAndItsBytesLandOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.sign(5)
	b.send(w, chains.Accepted)
	b.net.Advance(3)
	b.want(w, chains.Included)
	if got := b.net.Reorg(3, false); got != 3 {
		t.Fatalf("%d blocks abandoned", got)
	}
	b.wantTokens(w, 0)
	b.net.AdvanceEmpty(4)
	b.want(w, chains.Unseen)
	b.send(w, chains.Accepted)
	b.net.Advance(33)
	b.want(w, chains.Paid)
	b.wantTokens(w, 5)
}

// TestBytesDieWithTheForkOfTheirBlockhash: on the other fork nobody knows it.
func TestBytesDieWithTheForkOfTheirBlockhash(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.net.Advance(5)
	w := b.sign(5)
	b.net.Reorg(5, true)
	b.send(w, chains.Accepted)
	b.net.Advance(100)
	b.want(w, chains.Unseen)
	b.net.Advance(100)
	b.want(w, chains.Dead)
	b.wantTokens(w, 0)
}

func TestFinalizedBlocksAreNotAbandoned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.net.Advance(10)
	final := b.number("getBlockHeight", options{"commitment": "finalized"})
	if got := b.net.Reorg(1000, true); got != 32 {
		t.Errorf("%d blocks abandoned", got)
	}
	slot := b.slot()
	b.net.Advance(2) // the first of them is confirmed
	if got := b.number("getBlockHeight", options{"commitment": "finalized"}); got != final {
		t.Errorf("the finalized height went from %d to %d", final, got)
	}
	if b.slot() != slot+34 {
		t.Errorf("slots of the dead fork are used again: %d after %d", b.slot(), slot)
	}
	if _, failure := b.call("getBlock", slot+1, options{"commitment": "confirmed"}); failure == nil || failure.Code != -32007 {
		t.Errorf("a block of the dead fork: %v", failure)
	}
}

// TestWhatTestsAskTheChain: its own word on what happened, past all nodes.
func TestWhatTestsAskTheChain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.sign(5)
	signature := sol.MustSignatureFromBase58(w.Txs[0].Hash)
	if err := b.net.Submit(w.Txs[0].Raw); err != nil {
		t.Fatal(err)
	}
	if _, _, ok := b.net.Landed(signature); ok {
		t.Error("landed in no block")
	}
	b.net.Advance(1)
	slot, succeeded, ok := b.net.Landed(signature)
	if !ok || !succeeded || slot != b.slot() {
		t.Errorf("landed in slot %d, %v %v", slot, succeeded, ok)
	}
	want := simulated.Transfer{From: b.treasury, To: sol.MustPublicKeyFromBase58(w.To), Amount: w.Amount, Memo: w.IntentID, Tx: signature, Slot: slot}
	for _, want.Final = range []bool{false, true} {
		if got := b.net.Transfers(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("transfers %+v, want %+v", got, want)
		}
		b.net.Advance(32)
	}
	if final, _ := b.net.Final(); final != slot+32 {
		t.Errorf("slot %d is final, want %d", final, slot+32)
	}
}

func TestMoneyOfAReorgIsNeitherLostNorMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := b.sign(1_000), b.sign(20_000)
	b.send(first, chains.Accepted)
	b.net.Advance(1)
	b.send(second, chains.Accepted)
	b.net.Advance(1)
	b.net.Fund(b.treasury, 0, 7)
	b.net.Reorg(1, true)
	if got := b.net.Account(b.treasury).Tokens; got != treasuryTokens-1_000+7 {
		t.Errorf("treasury has %d", got)
	}
	b.net.Advance(1)
	if got := b.net.Account(b.treasury).Tokens; got != treasuryTokens-21_000+7 {
		t.Errorf("treasury has %d", got)
	}
}

func TestFailedTransactionsPayTheirFeeAndNothingElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		units  uint64
		spoil  func(b *bundle, w chains.Watched)
		reason string
	}{
		"too few tokens": {2_000_000_000_000, func(*bundle, chains.Watched) {}, "treasury_needs_tokens"},
		"payee frozen": {1, func(b *bundle, w chains.Watched) {
			b.net.Freeze(sol.MustPublicKeyFromBase58(w.To), true)
		}, "token_account_frozen"},
		"treasury frozen": {1, func(b *bundle, _ chains.Watched) {
			b.net.Freeze(b.treasury, true)
		}, "token_account_frozen"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.sign(c.units)
			c.spoil(b, w)
			b.send(w, chains.Accepted)
			b.net.Advance(33)
			got := b.want(w, chains.Reverted)
			if !strings.HasPrefix(got.Reason, c.reason) {
				t.Errorf("reason %q", got.Reason)
			}
			if spent := payment.Units(laneLamports - b.net.Account(b.lane).Lamports); spent.Cmp(got.Fee) != 0 || spent.Cmp(payment.Units(10_120)) != 0 {
				t.Errorf("the lane spent %s, the sighting says %s", spent, got.Fee)
			}
			b.wantTokens(w, 0)
		})
	}
}

// TestPreflight shows what keeps a transaction out of every block.
func TestPreflight(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(b *bundle, w chains.Watched)
		want  string
	}{
		"already landed": {func(b *bundle, w chains.Watched) {
			b.send(w, chains.Accepted)
			b.net.Advance(1)
		}, `"AlreadyProcessed"`},
		"expired":  {func(b *bundle, _ chains.Watched) { b.net.Advance(200) }, `"BlockhashNotFound"`},
		"in order": {func(*bundle, chains.Watched) {}, `null`},
		"frozen": {func(b *bundle, w chains.Watched) {
			b.net.Freeze(sol.MustPublicKeyFromBase58(w.To), true)
		}, `{"InstructionError":[3,{"Custom":17}]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.sign(1)
			c.spoil(b, w)
			_, failure := b.call("sendTransaction", base64.StdEncoding.EncodeToString(w.Txs[0].Raw), options{"encoding": "base64", "preflightCommitment": "processed"})
			got := "null"
			if failure != nil {
				said, err := json.Marshal(failure.Data.(map[string]any)["err"])
				if err != nil || failure.Code != -32002 {
					t.Fatalf("%v (%v)", failure, err)
				}
				got = string(said)
			}
			if got != c.want {
				t.Errorf("refused with %s, want %s", got, c.want)
			}
		})
	}
}

// transfer signs a plain transfer of lamports by the lane.
func (b *bundle) transfer(to sol.PublicKey, lamports uint64) string {
	b.Helper()
	result, failure := b.call("getLatestBlockhash", options{"commitment": "processed"})
	var latest struct{ Value struct{ Blockhash sol.Hash } }
	if failure != nil || json.Unmarshal(result, &latest) != nil {
		b.Fatalf("%s (%v)", result, failure)
	}
	tx, err := sol.NewTransaction([]sol.Instruction{system.NewTransferInstruction(lamports, b.lane, to).Build()}, latest.Value.Blockhash, sol.TransactionPayer(b.lane))
	if err != nil {
		b.Fatal(err)
	}
	message, err := tx.Message.MarshalBinary()
	if err != nil {
		b.Fatal(err)
	}
	signature, err := b.keys.Sign(b.Context(), b.lane.String(), message)
	if err != nil {
		b.Fatal(err)
	}
	tx.Signatures = []sol.Signature{sol.SignatureFromBytes(signature)}
	return tx.MustToBase64()
}

func TestLanesRunOutOfLamports(t *testing.T) {
	t.Parallel()
	b := setup(t)
	elsewhere := b.newPayee()
	raw := options{"encoding": "base64", "preflightCommitment": "processed"}
	send := func(lamports uint64) string {
		_, failure := b.call("sendTransaction", b.transfer(elsewhere, lamports), raw)
		b.net.Advance(1)
		if failure == nil {
			return ""
		}
		said, err := json.Marshal(failure.Data.(map[string]any)["err"])
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
	for _, step := range []struct {
		lamports uint64
		want     string
	}{
		{laneLamports, `{"InstructionError":[0,{"Custom":1}]}`},
		{laneLamports - 5000 - 1, `{"InsufficientFundsForRent":{"account_index":0}}`},
		{laneLamports - 2*5000 - 890_880, ""},
		{1, `{"InsufficientFundsForRent":{"account_index":0}}`}, // the fee alone leaves too little
	} {
		if got := send(step.lamports); got != step.want {
			t.Errorf("transfer of %d: %s, want %s", step.lamports, got, step.want)
		}
	}
	if got := b.net.Account(elsewhere).Lamports; got != laneLamports-2*5000-890_880 {
		t.Errorf("%d lamports arrived", got)
	}
}

func TestNodesErrors(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.sign(1)
	spoilt := bytes.Clone(w.Txs[0].Raw)
	spoilt[len(spoilt)-1] ^= 1
	raw := options{"encoding": "base64", "skipPreflight": true}
	for name, c := range map[string]struct {
		method string
		params []any
		code   int
	}{
		"no such method":     {"getTheMoon", nil, -32601},
		"bad address":        {"getAccountInfo", []any{"x", options{"encoding": "base64"}}, -32602},
		"bad commitment":     {"getSlot", []any{options{"commitment": "max"}}, -32602},
		"no transaction":     {"sendTransaction", []any{"AAAA", raw}, -32602},
		"wrong signature":    {"sendTransaction", []any{base64.StdEncoding.EncodeToString(spoilt), raw}, -32003},
		"block of tomorrow":  {"getBlock", []any{b.slot() + 1}, -32004},
		"block of yesterday": {"getBlock", []any{1}, -32001},
		"context too old":    {"getSlot", []any{options{"minContextSlot": b.slot()}}, -32016},
	} {
		if result, failure := b.call(c.method, c.params...); failure == nil || failure.Code != c.code {
			t.Errorf("%s: %s (%v), want %d", name, result, failure, c.code)
		}
	}
}

// TestWhatNodesDoWrongIsUnknown has the real client meet each fault alone.
func TestWhatNodesDoWrongIsUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault func(n *simulated.Node) simchain.Fault
		sent  chains.Acceptance
		lands bool
	}{
		"503":                    {func(*simulated.Node) simchain.Fault { return simchain.Fault{Status: 503} }, chains.Unsure, false},
		"hangs up":               {func(*simulated.Node) simchain.Fault { return simchain.Fault{HangUp: true} }, chains.Unsure, false},
		"hangs up after keeping": {func(*simulated.Node) simchain.Fault { return simchain.Fault{HangUp: true, Late: true} }, chains.Unsure, true},
		"swallows":               {func(n *simulated.Node) simchain.Fault { return simchain.Fault{Lie: n.Swallows} }, chains.Accepted, false},
		"unhealthy":              {func(n *simulated.Node) simchain.Fault { return simchain.Fault{Lie: n.IsUnhealthy} }, chains.Unsure, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := b.sign(9)
			b.node.Strike(func([]simchain.Call) simchain.Fault { return c.fault(b.node) })
			b.send(w, c.sent)
			b.node.Strike(nil)
			b.net.Advance(33)
			if c.lands {
				b.want(w, chains.Paid)
			} else {
				b.want(w, chains.Unseen)
			}
		})
	}
}

func TestLiesOfANodeDecideNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.sign(9)
	lie := func(l simchain.Handler) {
		b.node.Strike(func([]simchain.Call) simchain.Fault { return simchain.Fault{Lie: l} })
	}
	lie(b.node.EndsAt(0))
	if err := b.chain.Refresh(t.Context()); !errors.Is(err, chains.ErrUnknown) {
		t.Errorf("refreshed from a node that names 0 as the last valid height: %v", err)
	}
	lie(b.node.IsElsewhere)
	if err := b.chain.Refresh(t.Context()); err == nil {
		t.Error("refreshed from another network")
	}
	b.node.Strike(nil)
	b.net.Advance(200)
	lie(b.node.LacksHistory)
	if got, err := b.chain.Scan(t.Context(), []chains.Watched{w}); !errors.Is(err, chains.ErrUnknown) {
		t.Errorf("learned %+v (%v) without history", got, err)
	}
	lie(b.node.Invents)
	b.want(w, chains.Included) // the status is there, its transaction is not
	b.node.Strike(nil)
	b.node.SetHistory(b.slot())
	b.want(w, chains.Unseen)
	b.node.SetHistory(0)
	b.want(w, chains.Dead)
}

// TestOneNodeHidesWhatAnotherShows: two views of one chain.
func TestOneNodeHidesWhatAnotherShows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := b.net.Node()
	t.Cleanup(other.Close)
	b.chain = b.open(b.node, other)
	w := b.sign(9)
	b.send(w, chains.Accepted)
	b.net.Advance(33)
	b.node.Strike(func([]simchain.Call) simchain.Fault { return simchain.Fault{Lie: b.node.Hides} })
	b.want(w, chains.Included)
	b.node.Strike(nil)
	other.SetLag(5)
	b.want(w, chains.Included)
	other.SetLag(0)
	b.want(w, chains.Paid)
}

func TestALaggingNodeShowsTheChainAsItWas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w := b.sign(3)
	b.send(w, chains.Accepted)
	b.net.Advance(10)
	b.want(w, chains.Included)
	b.node.SetLag(10)
	if got, want := b.number("getBlockHeight", options{"commitment": "processed"}), b.height()-10; got != want {
		t.Errorf("height %d, want %d", got, want)
	}
	accounts, _ := b.call("getAccountInfo", w.To, options{"encoding": "base64", "commitment": "processed"})
	if !bytes.Contains(accounts, []byte(`"value":null`)) {
		t.Errorf("the payee's account is %s", accounts)
	}
	b.want(w, chains.Unseen)
}

func TestTheSameCallsGiveTheSameChain(t *testing.T) {
	t.Parallel()
	run := func() (chains.Watched, string) {
		b := setup(t)
		w := b.sign(3)
		b.send(w, chains.Accepted)
		b.net.Advance(40)
		return w, b.want(w, chains.Paid).BlockHash
	}
	first, inBlock := run()
	second, inOther := run()
	if first.Txs[0].Hash != second.Txs[0].Hash || inBlock != inOther {
		t.Errorf("%s in %s, then %s in %s", first.Txs[0].Hash, inBlock, second.Txs[0].Hash, inOther)
	}
}

func TestChainTimeGoesWithSlots(t *testing.T) {
	t.Parallel()
	start := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	b := begin(t, simulated.Genesis{Time: start, SlotTime: 2 * time.Second, Finalized: 4})
	b.net.Advance(6)
	if err := b.chain.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, _ := b.chain.Conditions(); !c.HeadTime.Equal(start.Add(9*2*time.Second)) || c.Head-c.Finalized != 3 {
		t.Errorf("conditions %+v", c)
	}
}

// BenchmarkAdvance closes 200 slots.
func BenchmarkAdvance(b *testing.B) {
	net := simulated.New(simulated.Genesis{})
	for b.Loop() {
		net.Advance(200)
	}
}
