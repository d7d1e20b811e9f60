package ledger

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// Errors of postings; ask with errors.Is.
var (
	// ErrInsufficientFunds: the merchant's available balance does not cover it.
	ErrInsufficientFunds = store.ErrInsufficientFunds
	// ErrReferenceConflict: the reference was posted with other content.
	ErrReferenceConflict = store.ErrReferenceConflict
	// ErrHoldInvalid: no such hold, resolved otherwise, or too small.
	ErrHoldInvalid = store.ErrHoldInvalid
)

// Kind is the kind of an account. The set is closed.
type Kind string

// Kinds of account. Owner is a Holder for MerchantAvailable and a chain's name
// for all others.
const (
	MerchantAvailable Kind = "merchant_available" // what we owe a merchant; never below zero
	Custody           Kind = "custody"            // tokens in the treasury of a chain
	Conversion        Kind = "conversion"         // bridges what is owed and what is held
	GasTank           Kind = "gas_tank"           // native coins of a chain's lanes
	GasExpense        Kind = "gas_expense"        // network fees spent
	Equity            Kind = "equity"             // our own money
)

// Holder is whose balance it is: a merchant's, in one mode. What is held in
// test mode cannot be spent in live mode, nor the other way round.
type Holder struct {
	MerchantID string
	Mode       payment.Mode
}

// HolderOf returns whose balance pays an intent.
func HolderOf(i payment.Intent) Holder { return Holder{i.MerchantID, i.Mode} }

// HolderOfBatch returns whose balance pays a batch.
func HolderOfBatch(b payment.Batch) Holder { return Holder{b.MerchantID, b.Mode} }

// String is the owner of the holder's accounts, e.g. "mer_1:live".
func (h Holder) String() string { return h.MerchantID + ":" + string(h.Mode) }

// Held is the ledger's name of an asset as it lies on a chain, e.g.
// "USDC.ethereum".
func Held(asset payment.Asset, chain payment.Chain) string {
	return asset.Code + "." + string(chain)
}

// account is a key of the cache, too.
type account struct {
	kind  Kind
	owner string
	asset string
}

// Account returns the id of an account and opens it if need be, in the same
// transaction. Ids are remembered once they are committed.
func Account(ctx context.Context, tx *store.Tx, kind Kind, owner, asset string) (int64, error) {
	key := account{kind, owner, asset}
	if id, ok := tx.Recall(key); ok {
		return id.(int64), nil
	}
	id, err := tx.LedgerAccount(ctx, db.LedgerAccountParams{Kind: string(kind), Owner: owner, Asset: asset})
	if err != nil {
		return 0, fmt.Errorf("ledger account %s:%s[%s]: %w", kind, owner, asset, err)
	}
	tx.Remember(key, id)
	return id, nil
}
