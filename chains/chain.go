package chains

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/settlehq/settle/chains/rpcpool"
	"github.com/settlehq/settle/payment"
)

// Errors that callers tell apart.
var (
	// ErrStale: the cached Conditions are older than the chain's bound, or were
	// never read. Nothing was signed. Retry later.
	ErrStale = errors.New("network conditions are stale")
	// ErrUnknown: the network did not give a usable answer. Retry later, and
	// conclude nothing.
	ErrUnknown = errors.New("the chain's answer is unknown")
	// ErrFrozen: a finalized block was replaced, which must not happen. Nothing
	// is signed and nothing counts as final until a person has found out why
	// and restarts the process.
	ErrFrozen = errors.New("the chain is frozen: a finalized block was replaced")
	// ErrFeeCapped: the caps allow no price that outbids what it must, or none
	// that any node takes. Nothing was signed; what is stored goes on being sent.
	ErrFeeCapped = errors.New("the fee cap is reached")
	// ErrSlotEnds: a further transaction could land after the end of its slot.
	// Nothing was signed; what was signed before may still pay until then.
	ErrSlotEnds = errors.New("the slot ends too soon for another transaction")
)

// Chain is one configured network. Implementations are safe for concurrent
// use, put a timeout on every remote call, and check at Open that the nodes
// serve the configured network.
type Chain interface {
	Info() Info

	// ReadAddress returns the canonical form of a payout address, or a
	// *payment.AddressError. It asks no node, so that CheckDestination may still
	// refuse the address.
	ReadAddress(address string) (string, error)

	// CheckDestination returns the canonical form of a payout address. A
	// definite no is a *payment.AddressError; ErrUnknown means that it could
	// not be found out (only chains that must look on chain return it).
	CheckDestination(ctx context.Context, address string) (string, error)

	// InspectAddress tells what is known about an address, payable or not. What
	// the chain does not answer is unknown in the facts.
	InspectAddress(ctx context.Context, address string) payment.AddressFacts

	// Refresh reads the Conditions from the network. The watcher calls it on
	// every tick; on error the previous Conditions stay.
	Refresh(ctx context.Context) error

	// Conditions returns what Refresh last read; ok is false before the first
	// success.
	Conditions() (c Conditions, ok bool)

	// Sign makes the bytes that pay the order and the slot they are bound to.
	// It does no I/O apart from the signer. ErrStale if Conditions are too old,
	// ErrFrozen if finality has failed, ErrFeeCapped if a cap forbids the price,
	// ErrSlotEnds if it is too late to reuse a slot.
	Sign(ctx context.Context, o Order) (Signed, error)

	// Send hands stored bytes to the network. It never returns an error: what
	// went wrong is in the verdict.
	Send(ctx context.Context, tx StoredTx) Verdict

	// Scan looks for what became of each watched payment, in as few calls as
	// the chain allows. The result has one Sighting per element, in order. An
	// error means that nothing was learned about any of them.
	Scan(ctx context.Context, w []Watched) ([]Sighting, error)

	// Balances reads token and native balances of the addresses at the
	// finalized block, for reconciliation and gas forecasts.
	Balances(ctx context.Context, addresses []string) (Balances, error)

	// LaneStart is the first nonce a new lane may use (EVM: the nonce at
	// latest, never pending). Chains without lane nonces return 0.
	LaneStart(ctx context.Context, lane string) (uint64, error)
}

// Laner is a Chain whose lanes have account nonces (Info.LaneNonces): every
// nonce that was given out must be used by some transaction, in order.
type Laner interface {
	Chain

	// LaneHeads reads how far the chain has come with each lane. The final
	// nonces are those that two nodes agree on where two are configured. As with
	// Results and Consumer, the error wraps ErrUnknown or ErrFrozen.
	LaneHeads(ctx context.Context, lanes []string) ([]LaneHead, error)

	// Results tells what finalized blocks hold of the transactions, one result
	// per element, in order. Not finalized includes not found: it proves nothing.
	Results(ctx context.Context, txs []StoredTx) ([]TxResult, error)

	// Fill signs a transfer of nothing from the lane to itself under the lane's
	// nonce, outbidding every one of replaces. It may cost more than a payment's
	// cap allows, up to a cap of its own: ErrFeeCapped. ErrStale and ErrFrozen as
	// with Sign.
	Fill(ctx context.Context, lane Lane, replaces []StoredTx) (SignedTx, error)

	// Fence signs the transaction that makes a live slot die early. For an
	// authorization that is its cancellation, under a fresh nonce of the lane;
	// for an account nonce it is Fill of that nonce, and lane is the slot's.
	// Replaces are earlier fences of the slot under the same nonce, or what Fill
	// outbids. Price and errors are Fill's.
	// The slot is dead when Scan says so, and not before.
	Fence(ctx context.Context, slot Slot, lane Lane, replaces []StoredTx) (SignedTx, error)

	// Consumer finds the transaction that used a lane's nonce, which is below
	// the lane's finalized one. ErrUnknown if the nodes do not have the history.
	Consumer(ctx context.Context, lane Lane) (hash string, err error)
}

// Expirer is a Chain without lane nonces: each transaction lands until it
// expires, whatever becomes of the others.
type Expirer interface {
	Chain

	// Fates tells what became of every transaction of slots that are closed: one
	// list per element, one result per transaction, in order. A result that is
	// neither Final nor Dead proves nothing. The error wraps ErrUnknown or
	// ErrFrozen.
	Fates(ctx context.Context, closed []Watched) ([][]TxResult, error)
}

// Sponsor is a Chain whose lanes may submit what payers have authorized
// themselves: the gas is ours, the money theirs.
type Sponsor interface {
	Chain

	// Admit checks a payer's authorization to pay an amount (token base units) to
	// a payee: first what can be known without asking, signature included, then
	// by asking nodes. The submission may cost up to most, native base units, and
	// is tried out as it is going to be sent. It returns the authorization in
	// canonical form, which it has from the signature's check on. A definite no is
	// a *payment.AuthorizationError, or a *payment.AddressError about the payer;
	// any other error means that it could not be found out.
	Admit(ctx context.Context, a payment.Authorization, to string, amount, most payment.Amount) (payment.Authorization, error)

	// Rehearse tries out a stored transaction on the newest block. refusal is the
	// chain's words if nodes agree that it would fail, and empty if it would
	// succeed or they do not agree. ErrUnknown if too few answered.
	Rehearse(ctx context.Context, tx StoredTx) (refusal string, err error)
}

// LaneHead is how far a chain has come with a lane.
type LaneHead struct {
	Lane   string
	Latest uint64         // the next nonce by the newest block, of two nodes the lower one; never pending
	Final  uint64         // the next nonce by the finalized block: all below are used for good
	Native payment.Amount // at the newest block, native base units
}

// TxResult is what a finalized block says of a transaction of ours.
type TxResult struct {
	Dead        bool // in no block and never will be: it has expired; only of Fates
	Final       bool // in a finalized canonical block; everything below is set only then
	Succeeded   bool
	Reason      string // of a failure: the chain's words
	BlockHash   string
	BlockHeight uint64
	BlockTime   time.Time
	Fee         payment.Amount // native base units
}

// Info describes a chain. It never changes after Open.
type Info struct {
	Name           payment.Chain
	CAIP2          string        // e.g. "eip155:1", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
	Token          string        // the payout token's contract or mint
	Treasury       string        // the account that holds the money
	Lanes          []string      // accounts that pay the gas
	LaneInFlight   int           // transactions of one lane that may be unincluded at once; nodes keep no more than 16 for sure
	NativeAsset    string        // "ETH", "SOL": what fees are paid in
	NativeDecimals int           // 18, 9
	LaneNonces     bool          // transactions need a nonce of their lane
	PollInterval   time.Duration // how often the watcher looks
	ResendAfter    time.Duration // unseen bytes are sent again this often
	BumpAfter      time.Duration // a lane's oldest transaction, or a payment with a guard account, is outbid after this long in no block; 0: never
	FinalityETA    time.Duration // from sending to finalized, usually
	ExplorerTxURL  string        // with %s for the hash; may be empty
}

// Conditions are the facts about a network that routing and signing use.
type Conditions struct {
	Chain           payment.Chain   `json:"chain"`
	ObservedAt      time.Time       `json:"observed_at"`
	Head            uint64          `json:"head"`             // newest block number, or slot
	Finalized       uint64          `json:"finalized"`        // newest finalized block number, or slot
	HeadTime        time.Time       `json:"head_time"`        // chain time of Head
	FeePerPayment   payment.Amount  `json:"fee_per_payment"`  // expected, native base units (wei, lamports)
	PricePerGas     payment.Amount  `json:"price_per_gas"`    // what the next block asks for at least, in units of SignedTx.FeeCap; 0 without lane nonces
	TreasuryBalance payment.Amount  `json:"treasury_balance"` // token base units at Head
	LatencyMillis   int64           `json:"latency_millis"`   // of the refresh
	Nodes           []rpcpool.Stats `json:"nodes"`            // of the chain, in the order of the configuration
	Detail          map[string]any  `json:"detail,omitempty"` // family-specific, for people
}

// Lane is the account that pays the gas of an order. Nonce is set where
// Info.LaneNonces is true.
type Lane struct {
	Address string
	Nonce   uint64
}

// Order is what Sign turns into bytes.
type Order struct {
	IntentID string
	Seq      int // of the attempt, from 1; a new one only after the death proof of the last
	To       string
	Amount   payment.Amount // token base units
	Lane     Lane
	Reuse    *Slot          // a live slot that gets a further transaction, with the same terms; the chain lets at most one of them pay
	Replaces []StoredTx     // transactions that this one must outbid; needs Reuse, and with lane nonces their Lane
	MaxFee   payment.Amount // the most the transaction may cost, native base units; 0: the chain's own cap only
	ValidFor time.Duration  // how long the slot may stay payable, where the chain lets us choose
	// Authorization is the payer's of a sponsored payment, to be submitted in
	// place of one that the treasury signs; else nil.
	Authorization *payment.Authorization
	Now           time.Time
}

// SlotKind names the on-chain exclusivity resource.
type SlotKind string

// Slot kinds.
const (
	SlotEIP3009   SlotKind = "eip3009"          // (token, treasury or sponsored payer, authorization nonce)
	SlotEVMNonce  SlotKind = "evm_nonce"        // (chain, from, nonce)
	SlotBlockhash SlotKind = "solana_blockhash" // one signature, until its blockhash expires
	SlotGuard     SlotKind = "solana_guard"     // an account that the payment opens, which can be opened once
)

// Slot is the resource that makes a payment exclusive. Authority and Nonce
// identify it on its chain.
type Slot struct {
	Kind          SlotKind        `json:"kind"`
	Authority     string          `json:"authority"`                // treasury, lane or sponsored payer
	Nonce         string          `json:"nonce"`                    // 0x authorization nonce, decimal account nonce, base58 signature or guard address
	FromHeight    uint64          `json:"from_height"`              // nothing of it can be on chain below this block number or slot
	ExpiresAt     *time.Time      `json:"expires_at,omitempty"`     // chain time from which it cannot pay (EIP-3009 validBefore)
	ExpiresHeight uint64          `json:"expires_height,omitempty"` // block height above which it cannot pay (Solana)
	Authorization json.RawMessage `json:"authorization,omitempty"`  // family-specific; what Reuse needs
}

// SignedTx is signed bytes, to be stored before they are sent.
type SignedTx struct {
	Hash     string // EVM hash or first Solana signature, canonical text
	Raw      []byte
	Sender   string         // lane address
	Nonce    *uint64        // of the lane; nil without lane nonces
	GasLimit uint64         // gas or compute units
	FeeCap   payment.Amount // wei per gas, or micro-lamports per compute unit
	TipCap   payment.Amount // wei per gas
	MaxFee   payment.Amount // the most it can cost, native base units

	FeeCapped bool // a cap keeps it below what the market asks for now
}

// Signed is what Sign returns.
type Signed struct {
	Slot Slot
	Tx   SignedTx
}

// StoredTx is signed bytes as read back from the database.
type StoredTx struct {
	Hash string
	Raw  []byte
}

// Acceptance is yes, no or unknown about bytes handed to nodes.
type Acceptance string

// Acceptances. Rejected is a node's definite no for these bytes; it does not
// prove that no other node has them.
const (
	Accepted Acceptance = "accepted"
	Rejected Acceptance = "rejected"
	Unsure   Acceptance = "unknown"
)

// Classes of a Verdict that mean the same in every family.
const (
	VerdictFunds       = "insufficient_funds"      // the lane cannot pay the fee: give it native coin
	VerdictUnderpriced = "underpriced"             // too cheap, or the pool is full
	VerdictReplacement = "replacement_underpriced" // another transaction of this lane nonce is pooled: outbid it

	VerdictMisconfigured = "misconfigured" // key, network or type of transaction, definitely: a person must look
)

// Verdict is the answer to Send. Class is the entry of the family's
// error table that matched, Detail the node's words.
type Verdict struct {
	Acceptance Acceptance
	Class      string
	Detail     string
}

// Watched is a payment that waits for its outcome.
type Watched struct {
	IntentID string
	SlotID   string
	Slot     Slot
	To       string
	Amount   payment.Amount
	Txs      []StoredTx // every transaction ever signed for the slot, oldest first
}

// SightingKind says how far a watched payment was seen to have come.
type SightingKind string

// Sighting kinds, in the order of progress. Only the last three are final.
const (
	Unseen   SightingKind = "unseen"   // in no canonical block that we know of
	Included SightingKind = "included" // in a canonical block, still reversible
	Paid     SightingKind = "paid"     // finalized, with the exact transfer
	Reverted SightingKind = "reverted" // our transaction is finalized and failed; slot per SlotDead
	Dead     SightingKind = "dead"     // proof: the slot can never pay any more
)

// Final reports whether the kind ends the wait.
func (k SightingKind) Final() bool { return k == Paid || k == Reverted || k == Dead }

// Sighting is what Scan saw of one watched payment.
type Sighting struct {
	Kind        SightingKind    `json:"kind"`
	LookedFor   int             `json:"looked_for,omitempty"` // transactions of the slot, which were all that is known of it
	Early       bool            `json:"early,omitempty"`      // with Paid: it counts before it is finalized, as configured
	TxHash      string          `json:"tx_hash,omitempty"`    // whichever transaction paid, even if not ours
	BlockHash   string          `json:"block_hash,omitempty"`
	BlockHeight uint64          `json:"block_height,omitempty"` // block number or slot
	LogIndex    int             `json:"log_index,omitempty"`    // of the transfer: EVM log index, Solana instruction index
	BlockTime   time.Time       `json:"block_time,omitzero"`
	Sender      string          `json:"sender,omitempty"`    // who paid the network fee
	Fee         payment.Amount  `json:"fee"`                 // what Sender was charged: the network fee and the rent of accounts it opened; native base units
	SlotDead    bool            `json:"slot_dead,omitempty"` // with Reverted: the slot can never pay (account nonce, Solana); false: the authorization is still open
	Reason      string          `json:"reason,omitempty"`    // with Reverted: the chain's words; not final: why it waits, where that is known
	Permanent   bool            `json:"permanent,omitempty"` // with Reverted: the payee can never be paid on this chain; another transaction would fail too
	Cause       Cause           `json:"cause,omitempty"`     // with Dead, where the family tells
	Proof       json.RawMessage `json:"proof,omitempty"`     // the finalized facts, stored with the outcome
}

// Cause is what killed a slot.
type Cause string

// Causes.
const (
	CauseExpired  Cause = "expired"
	CauseCanceled Cause = "canceled"   // by a transaction that does nothing else
	CauseUsed     Cause = "used_other" // an authorization's nonce, by its signer, for another transfer
)

// Balances at a finalized block. Addresses without an account have 0.
type Balances struct {
	Height uint64                    `json:"height"`
	Token  map[string]payment.Amount `json:"token"`  // token base units, by address as asked
	Native map[string]payment.Amount `json:"native"` // wei or lamports, by address as asked
}

// Signer signs for the addresses it holds. EVM implementations sign a 32-byte
// digest (65-byte [R || S || V], V 0 or 1); Solana implementations sign the
// message itself (64-byte ed25519 signature). Signing may be
// non-deterministic: the stored bytes win.
type Signer interface {
	Sign(ctx context.Context, address string, payload []byte) ([]byte, error)
}
