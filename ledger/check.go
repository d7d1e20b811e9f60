package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// checkTimeout bounds each rule of Check, maxDifferences what it lists.
const (
	checkTimeout   = 10 * time.Minute
	maxDifferences = 1000
)

// Code names the rule that a Difference breaks. Codes are stable.
type Code string

// Codes of Check, with what they mean.
const (
	TransferUnbalanced Code = "transfer_unbalanced"  // entries of an asset do not sum to zero
	TransferEntries    Code = "transfer_entries"     // too few entries, or entries of a hold or void
	AssetUnbalanced    Code = "asset_unbalanced"     // all entries of an asset do not sum to zero
	ConversionOpen     Code = "conversion_open"      // owed and held parted in a chain's conversion
	BalanceDiffers     Code = "balance_differs"      // the kept balance is not what the entries and holds make
	AccountChain       Code = "account_chain"        // versions have a gap, or balances do not follow
	FloorCrossed       Code = "floor_crossed"        // a merchant's balance was below zero once
	HoldResolution     Code = "hold_resolution"      // a hold was resolved twice or overspent
	HoldOfIntent       Code = "hold_of_intent"       // the hold does not fit the intent or its status
	HoldOfBatch        Code = "hold_of_batch"        // the hold does not fit the batch, its status or its payments
	HoldWithoutIntent  Code = "hold_without_intent"  // nobody will resolve it
	OutcomeOfIntent    Code = "outcome_of_intent"    // paid outcomes do not fit the intent
	SettlementOfIntent Code = "settlement_of_intent" // settle transfers do not fit the intent
	SlotState          Code = "slot_state"           // a slot's state is not its outcome, or it outlived its intent
	EventSequence      Code = "event_sequence"       // events are not 1..version
	EventSnapshot      Code = "event_snapshot"       // the newest event tells another status
	CustodyDiffers     Code = "custody_differs"      // Reconcile: treasury on chain and ledger
	GasTankDiffers     Code = "gas_tank_differs"     // Reconcile: native coins on chain and ledger
)

// Difference is a breach of a rule.
type Difference struct {
	Code     Code   `json:"code"`
	Object   string `json:"object"`   // what it is about: an intent, an account, a reference
	Expected string `json:"expected"` // by the rule; in Reconcile, by the ledger
	Found    string `json:"found"`    // in Reconcile, on chain
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s: expected %s, found %s", d.Code, d.Object, d.Expected, d.Found)
}

// Report is what Check found, and how much it looked at.
type Report struct {
	At          time.Time    `json:"at"` // of the snapshot, by the database's clock
	Transfers   int64        `json:"transfers"`
	Entries     int64        `json:"entries"`
	Intents     int64        `json:"intents"`
	Events      int64        `json:"events"`
	Differences []Difference `json:"differences"` // at most 1000 for each code
}

// Clean reports whether there is no difference.
func (r Report) Clean() bool { return len(r.Differences) == 0 }

// finding is the shape of the rows of every query in ledger_check.sql.
type finding struct{ Object, Expected, Found string }

type rule struct {
	code Code
	run  func(ctx context.Context, q *db.Queries) ([]finding, error)
}

func rows[R ~struct{ Object, Expected, Found string }](query func(*db.Queries, context.Context, int32) ([]R, error)) func(context.Context, *db.Queries) ([]finding, error) {
	return func(ctx context.Context, q *db.Queries) ([]finding, error) {
		found, err := query(q, ctx, maxDifferences)
		findings := make([]finding, len(found))
		for n, r := range found {
			findings[n] = finding(r)
		}
		return findings, err
	}
}

var rules = []rule{
	{TransferUnbalanced, rows((*db.Queries).CheckTransferSums)},
	{TransferEntries, rows((*db.Queries).CheckTransferEntries)},
	{AssetUnbalanced, rows((*db.Queries).CheckAssetSums)},
	{ConversionOpen, rows((*db.Queries).CheckConversions)},
	{BalanceDiffers, rows((*db.Queries).CheckBalances)},
	{AccountChain, rows((*db.Queries).CheckAccountVersions)},
	{FloorCrossed, rows((*db.Queries).CheckFloors)},
	{HoldResolution, rows((*db.Queries).CheckHolds)},
	{HoldOfIntent, rows((*db.Queries).CheckIntentHolds)},
	{HoldOfBatch, rows((*db.Queries).CheckBatchHolds)},
	{HoldWithoutIntent, rows((*db.Queries).CheckHoldsWithoutIntent)},
	{OutcomeOfIntent, rows((*db.Queries).CheckOutcomes)},
	{SettlementOfIntent, rows((*db.Queries).CheckSettlements)},
	{SlotState, rows((*db.Queries).CheckSlots)},
	{EventSequence, rows((*db.Queries).CheckEventSequences)},
	{EventSnapshot, rows((*db.Queries).CheckEventSnapshots)},
}

// Codes lists the codes of Check, in the order in which it looks.
func Codes() []Code {
	codes := make([]Code, len(rules))
	for n, r := range rules {
		codes[n] = r.code
	}
	return codes
}

// Check replays the books, the intents and their events on one snapshot of the
// database, while payments go on, and lists every difference. An error means
// that the check could not be made.
func Check(ctx context.Context, s *store.Store) (Report, error) {
	report := Report{Differences: []Difference{}}
	err := s.Snapshot(ctx, checkTimeout, func(ctx context.Context, q *db.Queries) error {
		n, err := q.CountLedger(ctx)
		if err != nil {
			return err
		}
		report.At, report.Transfers, report.Entries, report.Intents, report.Events = n.At, n.Transfers, n.Entries, n.Intents, n.Events
		for _, r := range rules {
			findings, err := r.run(ctx, q)
			if err != nil {
				return fmt.Errorf("%s: %w", r.code, err)
			}
			for _, f := range findings {
				report.Differences = append(report.Differences, Difference{r.code, f.Object, f.Expected, f.Found})
			}
		}
		return nil
	})
	if err != nil {
		return Report{}, fmt.Errorf("check ledger: %w", err)
	}
	return report, nil
}
