package solana_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/solana"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// bundle is a chain of its own with wallets, whose clock the test drives.
type bundle struct {
	*testing.T
	net     sandbox.Solana
	wallets sandbox.SolanaWallets
	chain   *solana.Chain
}

func setup(t *testing.T, change func(*solana.Config, sandbox.Solana)) *bundle {
	t.Parallel()
	s := sandbox.StartSolana(t, 50*time.Millisecond)
	w := s.NewWallets(t, 1)
	cfg := config(s, s.HTTPURL, w.Treasury, w.Lanes)
	if change != nil {
		change(&cfg, s)
	}
	c, err := solana.Open(t.Context(), cfg, w)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return &bundle{T: t, net: s, wallets: w, chain: c}
}

func (b *bundle) sign(units uint64) (chains.Watched, chains.Signed) {
	b.Helper()
	return b.signTo(newPayee(b), units)
}

func (b *bundle) signTo(payee string, units uint64) (chains.Watched, chains.Signed) {
	b.Helper()
	if err := b.chain.Refresh(b.Context()); err != nil {
		b.Fatalf("refresh: %v", err)
	}
	o := chains.Order{IntentID: "pi_" + rand.Text(), Seq: 1, To: payee, Amount: payment.Units(units), Lane: chains.Lane{Address: b.wallets.Lanes[0]}, Now: time.Now()}
	s, err := b.chain.Sign(b.Context(), o)
	if err != nil {
		b.Fatalf("sign: %v", err)
	}
	return chains.Watched{IntentID: o.IntentID, SlotID: "slot_" + o.IntentID, Slot: s.Slot, To: o.To, Amount: o.Amount, Txs: []chains.StoredTx{stored(s)}}, s
}

func stored(s chains.Signed) chains.StoredTx { return chains.StoredTx{Hash: s.Tx.Hash, Raw: s.Tx.Raw} }

func (b *bundle) send(s chains.Signed) {
	b.Helper()
	if v := b.chain.Send(b.Context(), stored(s)); v.Acceptance != chains.Accepted {
		b.Fatalf("send: %+v", v)
	}
}

func (b *bundle) scan(w chains.Watched) chains.Sighting {
	b.Helper()
	s, err := b.chain.Scan(b.Context(), []chains.Watched{w})
	if err != nil {
		b.Fatalf("scan: %v", err)
	}
	return s[0]
}

// finalize closes enough blocks to make everything sent so far final.
func (b *bundle) finalize() { b.Helper(); b.net.AdvanceSlots(b, 33) }

func (b *bundle) wantKind(w chains.Watched, want chains.SightingKind) chains.Sighting {
	b.Helper()
	got := b.scan(w)
	if got.Kind != want {
		b.Fatalf("sighting %+v, want %s", got, want)
	}
	return got
}

func TestPaymentCreatesThePayeesTokenAccountAndSaysWhatItCost(t *testing.T) {
	b := setup(t, nil)
	lane := b.wallets.Lanes[0]
	before, err := b.chain.Balances(t.Context(), []string{lane})
	for err == nil && before.Native[lane].IsZero() {
		b.finalize()
		before, err = b.chain.Balances(t.Context(), []string{lane})
	}
	if err != nil {
		t.Fatal(err)
	}
	w, s := b.sign(12_500_000)
	b.send(s)
	b.finalize()
	paid := b.wantKind(w, chains.Paid)
	if got := b.net.USDC(t, w.To); got != 12_500_000 {
		t.Errorf("payee has %d", got)
	}
	var proof struct {
		Memo                                      string
		Payee_balance_before, Payee_balance_after string
		Block_hash                                string
	}
	if err := json.Unmarshal(paid.Proof, &proof); err != nil {
		t.Fatal(err)
	}
	if proof.Memo != w.IntentID || proof.Payee_balance_before != "0" || proof.Payee_balance_after != "12500000" || proof.Block_hash == "" {
		t.Errorf("proof %s", paid.Proof)
	}
	after, err := b.chain.Balances(t.Context(), []string{lane})
	if err != nil {
		t.Fatal(err)
	}
	const newAccount = 2_039_280 // lamports of rent, part of what the lane is charged
	spent, _ := before.Native[lane].Sub(after.Native[lane])
	if spent.Cmp(paid.Fee) != 0 || s.Tx.MaxFee.Cmp(paid.Fee) != 0 || paid.Fee.Cmp(payment.Units(newAccount)) <= 0 {
		t.Errorf("the lane spent %s, the sighting says %s, announced were at most %s", spent, paid.Fee, s.Tx.MaxFee)
	}
}

func TestMissingFundsEndAsReverted(t *testing.T) {
	b := setup(t, nil)
	w, s := b.sign(2_000_000_000_000) // the treasury has half of it
	b.send(s)
	b.finalize()
	got := b.wantKind(w, chains.Reverted)
	if !got.SlotDead || !strings.HasPrefix(got.Reason, "treasury_needs_tokens") || len(got.Proof) == 0 || got.Fee.IsZero() {
		t.Errorf("sighting %+v", got)
	}
	if units := b.net.USDC(t, w.To); units != 0 {
		t.Errorf("payee has %d", units)
	}
}

func TestLostTransactionIsSentAgainAndPaysOnce(t *testing.T) {
	b := setup(t, nil)
	w, s := b.sign(3_000_000)
	b.net.DropNext(t, 2)
	b.send(s)
	b.send(s)
	b.finalize()
	b.wantKind(w, chains.Unseen)
	b.send(s)
	b.send(s)
	b.finalize()
	b.wantKind(w, chains.Paid)
	b.send(s)
	b.finalize()
	if got := b.net.USDC(t, w.To); got != 3_000_000 {
		t.Errorf("payee has %d", got)
	}
}

func TestExpiredBytesAreDeadAndStayDead(t *testing.T) {
	b := setup(t, nil)
	w, s := b.sign(4_000_000)
	b.net.DropNext(t, 1)
	b.send(s)
	b.net.AdvanceSlots(t, expired)
	dead := b.wantKind(w, chains.Dead)
	if !dead.SlotDead || len(dead.Proof) == 0 {
		t.Errorf("sighting %+v", dead)
	}
	b.send(s)
	b.finalize()
	b.wantKind(w, chains.Dead)
	if got := b.net.USDC(t, w.To); got != 0 {
		t.Errorf("payee has %d", got)
	}
}

// liar stands before the node and rewrites its answers while it is on.
type liar struct {
	on      atomic.Bool
	rewrite func(method string, result json.RawMessage) any
}

func (l *liar) serve(t *testing.T, target string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		resp, err := http.Post(target, "application/json", bytes.NewReader(body))
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || !l.on.Load() {
			_, _ = w.Write(answer)
			return
		}
		single := !bytes.HasPrefix(body, []byte("["))
		if single {
			body, answer = []byte("["+string(body)+"]"), []byte("["+string(answer)+"]")
		}
		var asked []struct{ Method string }
		var answers []map[string]any
		var raw []struct{ Result json.RawMessage }
		if json.Unmarshal(body, &asked) != nil || json.Unmarshal(answer, &answers) != nil || json.Unmarshal(answer, &raw) != nil {
			return
		}
		for i := range asked {
			answers[i]["result"] = l.rewrite(asked[i].Method, raw[i].Result)
		}
		if single {
			_ = json.NewEncoder(w).Encode(answers[0])
			return
		}
		_ = json.NewEncoder(w).Encode(answers)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestOneNodesWordIsNotEnoughForDeath(t *testing.T) {
	forgets := &liar{rewrite: func(method string, result json.RawMessage) any {
		switch method {
		case "getBlockHeight":
			return 1_000_000
		case "isBlockhashValid":
			return map[string]any{"context": map[string]any{"slot": 1_000_000}, "value": false}
		case "getSignatureStatuses":
			return map[string]any{"context": map[string]any{"slot": 1_000_000}, "value": []any{nil}}
		}
		return result
	}}
	b := setup(t, func(c *solana.Config, s sandbox.Solana) { c.RPCURLs = []string{forgets.serve(t, s.HTTPURL), s.HTTPURL} })
	w, s := b.sign(5_000_000)
	b.send(s)
	b.finalize()
	forgets.on.Store(true)
	if got := b.wantKind(w, chains.Included); !strings.Contains(got.Reason, "says dead") {
		t.Errorf("the reason names no disagreement: %+v", got)
	}
	forgets.on.Store(false)
	b.wantKind(w, chains.Paid)
}

func TestPaidNeedsTheExactTransfer(t *testing.T) {
	inflates := &liar{rewrite: func(method string, result json.RawMessage) any {
		return json.RawMessage(bytes.ReplaceAll(result, []byte(`"amount":"6000000"`), []byte(`"amount":"6000001"`)))
	}}
	b := setup(t, func(c *solana.Config, s sandbox.Solana) { c.RPCURLs = []string{inflates.serve(t, s.HTTPURL)} })
	w, s := b.sign(6_000_000)
	b.send(s)
	b.finalize()
	inflates.on.Store(true)
	if got := b.wantKind(w, chains.Included); got.Reason == "" {
		t.Errorf("no reason: %+v", got)
	}
	other := w
	other.IntentID = "pi_other"
	inflates.on.Store(false)
	b.wantKind(other, chains.Included)
	b.wantKind(w, chains.Paid)
}

func TestNodeOfAnotherChainIsNotBelieved(t *testing.T) {
	moves := &liar{rewrite: func(method string, result json.RawMessage) any {
		if method == "getGenesisHash" {
			return "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
		}
		return result
	}}
	b := setup(t, func(c *solana.Config, s sandbox.Solana) { c.RPCURLs = []string{moves.serve(t, s.HTTPURL)} })
	w, _ := b.sign(7_000_000)
	moves.on.Store(true)
	if err := b.chain.Refresh(t.Context()); err == nil {
		t.Error("refreshed from another network")
	}
	b.net.AdvanceSlots(t, expired)
	if got, err := b.chain.Scan(t.Context(), []chains.Watched{w}); !errors.Is(err, chains.ErrUnknown) {
		t.Errorf("learned %+v (%v) from another network", got, err)
	}
	moves.on.Store(false)
	b.wantKind(w, chains.Dead)
}

// BenchmarkPayments measures signed, sent and finalized payments over one
// chain: 16 senders, and one Scan for all that wait, as the watcher does.
func BenchmarkPayments(b *testing.B) {
	s := sandbox.StartSolana(b, 400*time.Millisecond)
	w := s.NewWallets(b, 4)
	c, err := solana.Open(b.Context(), config(s, s.HTTPURL, w.Treasury, w.Lanes), w)
	if err != nil {
		b.Fatal(err)
	}
	refresh := func() {
		if err := c.Refresh(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	refresh()
	payees := make([]string, 50)
	for i := range payees {
		payees[i] = newPayee(b)
	}
	work := make(chan int)
	sent := make(chan chains.Watched, b.N)
	b.ResetTimer()
	for range 16 {
		go func() {
			for i := range work {
				o := chains.Order{IntentID: fmt.Sprintf("pi_%032d", i), Seq: 1, To: payees[i%50], Amount: payment.Units(1), Lane: chains.Lane{Address: w.Lanes[i%4]}}
				signed, err := c.Sign(b.Context(), o)
				if err != nil {
					b.Error(err)
				}
				c.Send(b.Context(), stored(signed))
				sent <- chains.Watched{IntentID: o.IntentID, Slot: signed.Slot, To: o.To, Amount: o.Amount, Txs: []chains.StoredTx{stored(signed)}}
			}
		}()
	}
	go func() {
		for i := range b.N {
			work <- i
		}
		close(work)
	}()
	var open []chains.Watched
	last := time.Now()
	for paid := 0; paid < b.N; {
		for len(sent) > 0 {
			open = append(open, <-sent)
		}
		if len(open) == 0 {
			continue
		}
		refresh()
		sightings, err := c.Scan(b.Context(), open)
		if err != nil {
			b.Fatal(err)
		}
		var rest []chains.Watched
		for i, p := range open {
			switch sightings[i].Kind {
			case chains.Paid:
				paid++
			case chains.Dead, chains.Reverted:
				b.Fatalf("%+v", sightings[i])
			default:
				rest = append(rest, p)
			}
		}
		open = rest
		if wait := 200*time.Millisecond - time.Since(last); wait > 0 {
			<-time.After(wait)
		}
		last = time.Now()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}
