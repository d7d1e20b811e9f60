package faultproxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	sol "github.com/gagliardetto/solana-go"

	"github.com/settlehq/settle/internal/faultproxy"
	"github.com/settlehq/settle/internal/sandbox"
)

// What a client of a node learns: a status and a body, or nothing.
type seen struct {
	status int // 0: no answer
	body   string
}

func post(t *testing.T, url, body string) seen {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return seen{}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return seen{}
	}
	return seen{resp.StatusCode, string(b)}
}

const (
	height = `{"jsonrpc":"2.0","id":7,"method":"eth_blockNumber","params":[]}`
	chain  = `{"jsonrpc":"2.0","id":8,"method":"eth_chainId","params":[]}`
	// A transaction that no node takes: what counts is that it was asked.
	send      = `{"jsonrpc":"2.0","id":9,"method":"eth_sendRawTransaction","params":["0x02c0"]}`
	solSlot   = `{"jsonrpc":"2.0","id":1,"method":"getSlot","params":[]}`
	solStatus = `{"jsonrpc":"2.0","id":2,"method":"getSignatureStatuses","params":[["5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW"],{"searchTransactionHistory":true}]}`
)

func result(t *testing.T, s seen) json.RawMessage {
	t.Helper()
	var r struct {
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal([]byte(s.body), &r); s.status != http.StatusOK || err != nil {
		t.Fatalf("not an answer: %+v", s)
	}
	return r.Result
}

// Each fault, as a client of a real node meets it; the next request is answered.
func TestFaults(t *testing.T) {
	t.Parallel()
	node := sandbox.Start(t).Descriptor.Ethereum.HTTPURL
	for _, c := range []struct {
		kind   faultproxy.Kind
		status int // 0: no answer
	}{
		{faultproxy.LostResponse, http.StatusBadGateway}, {faultproxy.BadGateway, http.StatusBadGateway}, {faultproxy.RateLimited, http.StatusTooManyRequests},
		{faultproxy.LostHangUp, 0}, {faultproxy.HangUp, 0}, {faultproxy.Hang, 0}, {faultproxy.Slow, http.StatusOK},
	} {
		t.Run(string(c.kind), func(t *testing.T) {
			t.Parallel()
			p := faultproxy.Start(t, node)
			p.Add(faultproxy.Fault{Kind: c.kind, Method: "eth_chainId", Times: 1, Delay: 50 * time.Millisecond})
			if got := post(t, p.URL, height); got.status != http.StatusOK {
				t.Errorf("another method: %+v", got)
			}
			// One call of a batch is enough to lose the batch.
			if got := post(t, p.URL, "["+height+","+chain+"]"); got.status != c.status {
				t.Errorf("%+v, want status %d", got, c.status)
			}
			if got := post(t, p.URL, chain); got.status != http.StatusOK {
				t.Errorf("after the fault: %+v", got)
			}
			if n := p.Struck()[c.kind]; n != 1 {
				t.Errorf("struck %d times", n)
			}
		})
	}
}

// upstream counts what reaches the node behind a proxy: a second proxy, whose
// faults are all harmless.
func upstream(t *testing.T, url, method string) (string, func() int) {
	t.Helper()
	p := faultproxy.Start(t, url)
	p.Add(faultproxy.Fault{Kind: faultproxy.Slow, Method: method})
	return p.URL, func() int { return p.Struck()[faultproxy.Slow] }
}

// Whether a send reaches the node although its answer does not come.
func TestWhatReachesTheNode(t *testing.T) {
	t.Parallel()
	node := sandbox.Start(t).Descriptor.Ethereum.HTTPURL
	for kind, want := range map[faultproxy.Kind]int{
		faultproxy.LostResponse: 1, faultproxy.LostHangUp: 1, faultproxy.Slow: 1,
		faultproxy.Swallowed: 0, faultproxy.Refused: 0, faultproxy.RateLimited: 0, faultproxy.BadGateway: 0, faultproxy.HangUp: 0, faultproxy.Hang: 0,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			url, reached := upstream(t, node, faultproxy.EthereumSend)
			p := faultproxy.Start(t, url)
			p.Add(faultproxy.Fault{Kind: kind, Method: faultproxy.EthereumSend})
			post(t, p.URL, send)
			if got := reached(); got != want {
				t.Errorf("the node was asked %d times, want %d", got, want)
			}
		})
	}
}

func TestSkipSparesRequests(t *testing.T) {
	t.Parallel()
	p := faultproxy.Start(t, sandbox.Start(t).Descriptor.Ethereum.HTTPURL)
	p.Add(faultproxy.Fault{Kind: faultproxy.RateLimited, Skip: 2})
	for i, want := range []int{200, 200, 429, 200, 200, 429} {
		if got := post(t, p.URL, height); got.status != want {
			t.Errorf("request %d: %d, want %d", i+1, got.status, want)
		}
	}
	p.Clear()
	for range 3 {
		if got := post(t, p.URL, height); got.status != http.StatusOK {
			t.Errorf("after Clear: %+v", got)
		}
	}
}

// A forgetful node keeps the shape of its answers.
func TestForgetful(t *testing.T) {
	t.Parallel()
	d := sandbox.Start(t).Descriptor
	eth, solana := faultproxy.Start(t, d.Ethereum.HTTPURL), faultproxy.Start(t, d.Solana.HTTPURL)
	eth.Add(faultproxy.Fault{Kind: faultproxy.Forgetful})
	solana.Add(faultproxy.Fault{Kind: faultproxy.Forgetful})

	var batch []struct {
		ID     int             `json:"id"`
		Result json.RawMessage `json:"result"`
	}
	logs := `{"jsonrpc":"2.0","id":5,"method":"eth_getLogs","params":[{"fromBlock":"0x0","toBlock":"latest"}]}`
	if err := json.Unmarshal([]byte(post(t, eth.URL, "["+logs+","+chain+"]").body), &batch); err != nil || len(batch) != 2 {
		t.Fatalf("batch: %+v, %v", batch, err)
	}
	if batch[0].ID != 5 || string(batch[0].Result) != "[]" || batch[1].ID != 8 || len(batch[1].Result) < 4 {
		t.Errorf("batch: %+v", batch)
	}
	var statuses struct {
		Context struct{ Slot int }
		Value   []*json.RawMessage
	}
	if err := json.Unmarshal(result(t, post(t, solana.URL, solStatus)), &statuses); err != nil || statuses.Context.Slot == 0 || len(statuses.Value) != 1 || statuses.Value[0] != nil {
		t.Errorf("statuses: %+v, %v", statuses, err)
	}
	if got := string(result(t, post(t, solana.URL, solSlot))); got == "null" {
		t.Error("what is no transaction was forgotten")
	}
}

// A false failure is told of every transaction, and the lie holds together.
func TestFalseFailure(t *testing.T) {
	t.Parallel()
	d := sandbox.Start(t).Descriptor
	eth, solana := faultproxy.Start(t, d.Ethereum.HTTPURL), faultproxy.Start(t, d.Solana.HTTPURL)
	eth.Add(faultproxy.Fault{Kind: faultproxy.FalseFailure})
	solana.Add(faultproxy.Fault{Kind: faultproxy.FalseFailure})

	hash := crypto.Keccak256Hash([]byte("never sent"))
	var receipt struct{ TransactionHash, Status, BlockNumber, BlockHash string }
	asked := result(t, post(t, eth.URL, `{"jsonrpc":"2.0","id":1,"method":"eth_getTransactionReceipt","params":["`+hash.Hex()+`"]}`))
	if err := json.Unmarshal(asked, &receipt); err != nil || receipt.TransactionHash != hash.Hex() || receipt.Status != "0x0" {
		t.Errorf("receipt %s, %v", asked, err)
	}
	var block struct{ Hash string }
	asked = result(t, post(t, eth.URL, `{"jsonrpc":"2.0","id":2,"method":"eth_getBlockByNumber","params":["`+receipt.BlockNumber+`",false]}`))
	if err := json.Unmarshal(asked, &block); err != nil || block.Hash != receipt.BlockHash {
		t.Errorf("block %s, %v, is not the receipt's %s", asked, err, receipt.BlockHash)
	}
	var statuses struct {
		Value []struct {
			Err                any
			ConfirmationStatus string
		}
	}
	asked = result(t, post(t, solana.URL, solStatus))
	if err := json.Unmarshal(asked, &statuses); err != nil || len(statuses.Value) != 1 || statuses.Value[0].Err == nil || statuses.Value[0].ConfirmationStatus != "finalized" {
		t.Errorf("statuses %s, %v", asked, err)
	}
	if got := string(result(t, post(t, solana.URL, solSlot))); got == "null" {
		t.Error("what is no transaction failed")
	}
}

// A swallowed transaction is answered with the name it really has.
func TestSwallowed(t *testing.T) {
	t.Parallel()
	d := sandbox.Start(t).Descriptor
	eth, solana := faultproxy.Start(t, d.Ethereum.HTTPURL), faultproxy.Start(t, d.Solana.HTTPURL)
	eth.Add(faultproxy.Fault{Kind: faultproxy.Swallowed, Method: faultproxy.EthereumSend})
	solana.Add(faultproxy.Fault{Kind: faultproxy.Swallowed, Method: faultproxy.SolanaSend})

	key, err := crypto.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := types.SignNewTx(key, types.LatestSignerForChainID(big.NewInt(1)), &types.DynamicFeeTx{ChainID: big.NewInt(1), Gas: 21_000})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := signed.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if got := string(result(t, post(t, eth.URL, sendOf(faultproxy.EthereumSend, hexutil.Encode(raw))))); got != `"`+signed.Hash().Hex()+`"` {
		t.Errorf("hash %s, want %s", got, signed.Hash())
	}

	payer, err := sol.NewRandomPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := sol.NewTransaction([]sol.Instruction{sol.NewInstruction(sol.MemoProgramID, nil, []byte("lost"))}, sol.Hash{1}, sol.TransactionPayer(payer.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	signatures, err := tx.Sign(func(sol.PublicKey) *sol.PrivateKey { return &payer })
	if err != nil {
		t.Fatal(err)
	}
	if got := string(result(t, post(t, solana.URL, sendOf(faultproxy.SolanaSend, tx.MustToBase64())))); got != `"`+signatures[0].String()+`"` {
		t.Errorf("signature %s, want %s", got, signatures[0])
	}
}

func sendOf(method, tx string) string {
	return `{"jsonrpc":"2.0","id":3,"method":"` + method + `","params":["` + tx + `"]}`
}
