package chaintest

import (
	"context"
	"testing"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// Harness tells the suite how to work one chain family. Functions get the
// *testing.T of the case that calls them and fail it on error. Optional hooks
// are nil where the family's node cannot do them; their cases are skipped.
type Harness struct {
	// RPCURL is the HTTP JSON-RPC endpoint of the real node. The suite puts a
	// gate of its own in front of it, to count requests and to hang or refuse.
	RPCURL string

	// NewWallets makes wallets that no other case uses: a treasury with at
	// least MinFunding token base units, and lanes with native coin for at
	// least 100 payments each.
	NewWallets func(t *testing.T, lanes int) Wallets

	// Open opens the chain under test. It must not fail the test: the error is
	// what some cases look for.
	Open func(ctx context.Context, o Opening) (chains.Chain, error)

	// NewPayee returns a canonical address that has never been paid.
	NewPayee func(t *testing.T) string

	// TokenBalance reads an address's payout tokens at the head, past the Chain
	// under test. An address without account has 0.
	TokenBalance func(t *testing.T, address string) payment.Amount

	// Advance pushes the chain on by one block or more. Nil where the node's own
	// clock is quick enough to finalize within a few seconds.
	Advance func(t *testing.T)

	// Expire moves chain time past the end of the slot, with certainty at the
	// finalized block too. Optional: nil where slots never expire.
	Expire func(t *testing.T, s chains.Slot)

	// DropPending makes the node forget every transaction that is in no block.
	// Optional.
	DropPending func(t *testing.T)

	// Pause stops (true) and restarts (false) the making of blocks. Optional.
	Pause func(t *testing.T, paused bool)

	// Reorg replaces the newest depth blocks by a longer branch that does not
	// contain their transactions. Optional; needs Pause.
	Reorg func(t *testing.T, depth int)

	// CanReuse says that a second transaction may be signed for a live slot
	// (Order.Reuse), with the chain itself refusing the second payment.
	CanReuse bool

	// Lies are what a node may say that is not so. A family needs all of them
	// for RunFaults.
	Lies Lies

	// Destinations is the family's table of good and bad payout addresses.
	// Wallet addresses of the case are tested by the suite itself.
	Destinations []Destination
}

// MinFunding is what a fresh treasury must hold at least: 1,000 units of a
// token with 6 decimals.
const MinFunding = 1_000_000_000

// Wallets are the accounts of one case.
type Wallets struct {
	Treasury string
	Lanes    []string
	Signer   chains.Signer // holds the keys of all of them
}

// Opening says how to open the chain.
type Opening struct {
	Wallets      Wallets
	RPCURLs      []string // of the suite's gates
	WrongNetwork bool     // configure the id of a network that RPCURLs do not serve
	PaidBelow    string   // payments of less, in units of the token, count as paid before finality; empty: none
}

// Destination is one line of the table for CheckDestination.
type Destination struct {
	Name string
	In   string
	Want string // canonical form, if accepted
	Code string // payment.Address* code, if refused
}

// patience bounds every wait of the suite for the chain to get on.
const patience = 90 * time.Second

// bound is how long a single call may take when no node answers. It is above
// the 5 s per remote call that implementations use.
const bound = 20 * time.Second

// Run runs the suite. Cases run one after the other, since some of them move
// the chain's time or drop transactions.
func Run(t *testing.T, h Harness) {
	t.Helper()
	cases := []struct {
		name string
		run  func(*bench)
	}{
		{"OpenRefusesWrongNetwork", wrongNetwork},
		{"OpenFailsWithoutNode", openWithoutNode},
		{"SignNeedsFreshConditions", staleConditions},
		{"SignTalksToNobody", signIsOffline},
		{"Destinations", destinations},
		{"PaysExactlyOnce", paysOnce},
		{"ResendingTheSameBytesPaysOnce", resend},
		{"SecondTransactionOfASlotCannotPayAgain", reuse},
		{"NeverSentStaysUnseen", neverSent},
		{"RestartFindsWhatWasPaid", restart},
		{"FiftyPaymentsInOneScan", fifty},
		{"NodeGoneIsUnknown", nodeGone},
		{"NodeHangingIsUnknownInBoundedTime", nodeHangs},
		{"DroppedFromThePoolIsSentAgain", dropped},
		{"ReorgGoesBackToUnseen", reorged},
		{"ExpiryIsDeathWithProof", expiry},
		{"SmallPaymentsArePaidEarly", early},
		{"FatesOfEveryTransaction", fates},
		{"OutbiddingPaysOnce", onLanes(outbid)},
		{"OutbiddingIsRefused", onLanes(outbidRefusals)},
		{"FillFreesTheLane", onLanes(filled)},
		{"FenceIsDeathWithProof", onLanes(fenced)},
		{"LaneHeadsAndResults", onLanes(laneHeads)},
		{"ConsumerOfANonce", onLanes(consumer)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { c.run(newBench(t, h)) })
	}
}
