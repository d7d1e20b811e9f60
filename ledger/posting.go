package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// leg is one entry to be posted.
type leg struct {
	account
	amount Signed
}

func debit(kind Kind, owner, asset string, a payment.Amount) leg {
	return leg{account{kind, owner, asset}, Signed{Amount: a}}
}

func credit(kind Kind, owner, asset string, a payment.Amount) leg {
	return leg{account{kind, owner, asset}, Signed{Amount: a, Negative: true}}
}

// posting is a transfer to be made. An empty holdID spends no hold; an empty
// intentID belongs to no intent, a nil effectiveAt is now.
type posting struct {
	reference   string
	holdID      string
	intentID    string
	effectiveAt *time.Time // block time of what happened
	legs        []leg
}

func post(ctx context.Context, tx *store.Tx, p posting) error {
	params := db.LedgerPostParams{
		Reference: p.reference, HoldID: optional(p.holdID), IntentID: optional(p.intentID), EffectiveAt: p.effectiveAt,
	}
	for _, l := range p.legs {
		id, err := Account(ctx, tx, l.kind, l.owner, l.asset)
		if err != nil {
			return err
		}
		params.Accounts = append(params.Accounts, id)
		params.Amounts = append(params.Amounts, l.amount.String())
	}
	if _, err := tx.LedgerPost(ctx, params); err != nil {
		return fmt.Errorf("post %s: %w", p.reference, err)
	}
	return nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Reservation is a hold and what it left behind.
type Reservation struct {
	HoldID  string
	Balance Balance   // of the holder, after the hold
	At      time.Time // by the database's clock, under the lock of the balance
}

// Reserve holds the intent's amount of its merchant's available balance, in one
// round trip (L4): the account stays locked until the transaction ends. It
// reads ID, MerchantID, Mode, Asset and Amount, since the intent's row is written
// after it. ErrInsufficientFunds if the balance does not cover it; the
// transaction must then be rolled back.
func Reserve(ctx context.Context, tx *store.Tx, intent payment.Intent) (Reservation, error) {
	return reserve(ctx, tx, intent.ID, HolderOf(intent), intent.Asset, intent.Amount, &intent.ID)
}

// ReserveBatch is Reserve for the amount of a whole batch. HoldParts takes its
// payments out of it, VoidBatch releases the rest.
func ReserveBatch(ctx context.Context, tx *store.Tx, b payment.Batch) (Reservation, error) {
	return reserve(ctx, tx, b.ID, HolderOfBatch(b), b.Asset, b.Amount, nil)
}

func reserve(ctx context.Context, tx *store.Tx, object string, h Holder, asset payment.Asset, amount payment.Amount, intentID *string) (Reservation, error) {
	row, err := tx.LedgerHold(ctx, db.LedgerHoldParams{
		Reference: object + ":hold", Owner: h.String(), Asset: asset.Code, Amount: amount, IntentID: intentID,
	})
	if err != nil {
		return Reservation{}, fmt.Errorf("hold %s of %s for %s: %w", amount, h, object, err)
	}
	balance, err := balanceOf(h, row.Posted, row.Held)
	return Reservation{HoldID: row.ID, Balance: balance, At: row.At}, err
}

// HoldParts takes the amounts of intents out of a batch's hold, each as the hold
// of its intent, whose id it returns by intent. What is held of the merchant's
// balance stays the same, and the balance is not locked. Call it in the transaction
// that inserts the intents. ErrHoldInvalid if the hold is resolved or too small.
func HoldParts(ctx context.Context, tx *store.Tx, b payment.Batch, intents []payment.Intent) (holds map[string]string, err error) {
	p := db.LedgerHoldPartsParams{HoldID: b.HoldID}
	for _, i := range intents {
		p.IntentIds, p.Amounts = append(p.IntentIds, i.ID), append(p.Amounts, i.Amount.String())
	}
	rows, err := tx.LedgerHoldParts(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("take parts of the hold of %s: %w", b.ID, err)
	}
	holds = make(map[string]string, len(rows))
	for _, r := range rows {
		holds[r.IntentID] = r.ID
	}
	return holds, nil
}

// VoidBatch releases what is left of the batch's hold. Call it only in the
// transaction that ends the batch.
func VoidBatch(ctx context.Context, tx *store.Tx, b payment.Batch) error {
	return void(ctx, tx, b.ID, b.HoldID, nil)
}

// Hold is Reserve for those who need only the hold's id, for intent.HoldID.
func Hold(ctx context.Context, tx *store.Tx, intent payment.Intent) (holdID string, err error) {
	r, err := Reserve(ctx, tx, intent)
	return r.HoldID, err
}

// Void releases the intent's hold, if it has one: a sponsored one holds
// nothing. Call it only in the transaction that ends the intent unpaid.
// ErrHoldInvalid if the hold was posted.
func Void(ctx context.Context, tx *store.Tx, intent payment.Intent) error {
	if intent.Sponsored() {
		return nil
	}
	return void(ctx, tx, intent.ID, intent.HoldID, &intent.ID)
}

func void(ctx context.Context, tx *store.Tx, object, holdID string, intentID *string) error {
	_, err := tx.LedgerVoid(ctx, db.LedgerVoidParams{Reference: object + ":void", HoldID: holdID, IntentID: intentID})
	if err != nil {
		return fmt.Errorf("void the hold of %s: %w", object, err)
	}
	return nil
}

// Settlement is a payment that is final on its chain.
type Settlement struct {
	IntentID    string
	HoldID      string
	Holder      Holder
	Chain       payment.Chain
	Asset       payment.Asset
	Amount      payment.Amount // base units of Asset
	Fee         payment.Amount // of the paying transaction, native base units
	NativeAsset string         // "ETH", "SOL"
	FeePaidByUs bool           // false: somebody else's transaction made the payment
	EffectiveAt time.Time      // block time
}

// Settle spends the hold of a paid intent: what we owe the merchant and what
// lies in the treasury both shrink by the amount, and the network fee becomes
// an expense. The reference is "<intent>:settle".
func Settle(ctx context.Context, tx *store.Tx, s Settlement) error {
	chain, owed, held := string(s.Chain), s.Asset.Code, Held(s.Asset, s.Chain)
	legs := []leg{
		debit(MerchantAvailable, s.Holder.String(), owed, s.Amount),
		credit(Conversion, chain, owed, s.Amount),
		debit(Conversion, chain, held, s.Amount),
		credit(Custody, chain, held, s.Amount),
	}
	if s.FeePaidByUs && !s.Fee.IsZero() {
		legs = append(legs, fee(s.Chain, s.NativeAsset, s.Fee)...)
	}
	return post(ctx, tx, posting{s.IntentID + ":settle", s.HoldID, s.IntentID, &s.EffectiveAt, legs})
}

func fee(chain payment.Chain, native string, amount payment.Amount) []leg {
	return []leg{
		debit(GasExpense, string(chain), native, amount),
		credit(GasTank, string(chain), native, amount),
	}
}

// NetworkFee books the fee, in native base units, of a transaction of ours
// that paid nothing. The reference is "tx:<hash>:fee"; intentID may be empty.
// A fee of 0 books nothing.
func NetworkFee(ctx context.Context, tx *store.Tx, reference string, chain payment.Chain, native string,
	amount payment.Amount, effectiveAt time.Time, intentID string) error {

	if amount.IsZero() {
		return nil
	}
	return post(ctx, tx, posting{reference, "", intentID, &effectiveAt, fee(chain, native, amount)})
}

// Deposit books money that a merchant paid into the treasury of a chain for one
// of its modes, in base units of the asset.
func Deposit(ctx context.Context, tx *store.Tx, reference string, h Holder, chain payment.Chain, asset payment.Asset,
	amount payment.Amount, effectiveAt time.Time) error {

	return post(ctx, tx, posting{reference, "", "", &effectiveAt, []leg{
		debit(Custody, string(chain), Held(asset, chain), amount),
		credit(Conversion, string(chain), Held(asset, chain), amount),
		debit(Conversion, string(chain), asset.Code, amount),
		credit(MerchantAvailable, h.String(), asset.Code, amount),
	}})
}

// FundTreasury books our own money paid into the treasury of a chain, in base
// units of the asset.
func FundTreasury(ctx context.Context, tx *store.Tx, reference string, chain payment.Chain, asset payment.Asset, amount payment.Amount) error {
	return post(ctx, tx, posting{reference, "", "", nil, []leg{
		debit(Custody, string(chain), Held(asset, chain), amount),
		credit(Equity, string(chain), Held(asset, chain), amount),
	}})
}

// FundGas books native coins of ours paid to the lanes of a chain, in native
// base units.
func FundGas(ctx context.Context, tx *store.Tx, reference string, chain payment.Chain, native string, amount payment.Amount) error {
	return post(ctx, tx, posting{reference, "", "", nil, []leg{
		debit(GasTank, string(chain), native, amount),
		credit(Equity, string(chain), native, amount),
	}})
}
