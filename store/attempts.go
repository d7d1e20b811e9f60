package store

import (
	"context"
	"fmt"

	"github.com/settlehq/settle/store/db"
)

// Attempt is one try to settle an intent over one route, with what it led to.
type Attempt struct {
	db.Attempt
	Slots []Slot // oldest first
}

// Slot is the exclusivity resource of an attempt. Outcome is nil as long as
// the chain has not finally answered.
type Slot struct {
	db.Slot
	Transactions []Transaction // oldest first
	Outcome      *db.Outcome
}

// Transaction is a signed transaction of a slot, without its bytes. Result is
// nil until a finalized block holds it.
type Transaction struct {
	db.ListIntentTransactionsRow
	Result *db.TransactionResult
}

// IntentAttempts returns every attempt of an intent, oldest first, with its
// slots, their transactions, results and outcomes. The caller has checked
// whose intent it is.
func (s *Store) IntentAttempts(ctx context.Context, intentID string) ([]Attempt, error) {
	fail := func(err error) ([]Attempt, error) {
		return nil, fmt.Errorf("attempts of intent %s: %w", intentID, err)
	}
	attempts, err := s.queries.ListIntentAttempts(ctx, intentID)
	if err != nil {
		return fail(err)
	}
	if len(attempts) == 0 {
		return nil, nil
	}
	slots, err := s.queries.ListIntentSlots(ctx, intentID)
	if err != nil {
		return fail(err)
	}
	transactions, err := s.queries.ListIntentTransactions(ctx, intentID)
	if err != nil {
		return fail(err)
	}
	results, err := s.queries.ListIntentTransactionResults(ctx, intentID)
	if err != nil {
		return fail(err)
	}
	outcomes, err := s.queries.ListIntentOutcomes(ctx, intentID)
	if err != nil {
		return fail(err)
	}
	return assemble(attempts, slots, transactions, results, outcomes), nil
}

func assemble(attempts []db.Attempt, slots []db.Slot, transactions []db.ListIntentTransactionsRow,
	results []db.TransactionResult, outcomes []db.Outcome) []Attempt {

	resultOf := map[string]*db.TransactionResult{}
	for _, r := range results {
		resultOf[r.TransactionID] = &r
	}
	outcomeOf := map[string]*db.Outcome{}
	for _, o := range outcomes {
		outcomeOf[o.SlotID] = &o
	}
	transactionsOf := map[string][]Transaction{}
	for _, t := range transactions {
		transactionsOf[t.SlotID] = append(transactionsOf[t.SlotID], Transaction{t, resultOf[t.ID]})
	}
	slotsOf := map[string][]Slot{}
	for _, sl := range slots {
		slotsOf[sl.AttemptID] = append(slotsOf[sl.AttemptID], Slot{sl, transactionsOf[sl.ID], outcomeOf[sl.ID]})
	}
	all := make([]Attempt, len(attempts))
	for n, a := range attempts {
		all[n] = Attempt{a, slotsOf[a.ID]}
	}
	return all
}

// Transfer is a ledger transfer with its entries; a hold or void has none.
type Transfer struct {
	db.ListIntentTransfersRow
	Entries []db.ListIntentEntriesRow // amounts are signed: positive debits, negative credits
}

// IntentTransfers returns the ledger transfers made for an intent, oldest
// first. The caller has checked whose intent it is.
func (s *Store) IntentTransfers(ctx context.Context, intentID string) ([]Transfer, error) {
	rows, err := s.queries.ListIntentTransfers(ctx, intentID)
	if err != nil {
		return nil, fmt.Errorf("transfers of intent %s: %w", intentID, err)
	}
	entries, err := s.queries.ListIntentEntries(ctx, intentID)
	if err != nil {
		return nil, fmt.Errorf("transfers of intent %s: %w", intentID, err)
	}
	entriesOf := map[string][]db.ListIntentEntriesRow{}
	for _, e := range entries {
		entriesOf[e.TransferID] = append(entriesOf[e.TransferID], e)
	}
	transfers := make([]Transfer, len(rows))
	for n, r := range rows {
		transfers[n] = Transfer{r, entriesOf[r.ID]}
	}
	return transfers, nil
}

// Told is one request that was made to tell somebody of an intent.
type Told = db.ListIntentWebhookAttemptsRow

// IntentWebhookAttempts returns at most limit attempts to deliver the events of
// an intent, to whatever endpoint, oldest first. The caller has checked whose
// intent it is.
func (s *Store) IntentWebhookAttempts(ctx context.Context, intentID string, limit int) ([]Told, error) {
	rows, err := s.queries.ListIntentWebhookAttempts(ctx, db.ListIntentWebhookAttemptsParams{IntentID: &intentID, MaxRows: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("webhook attempts of intent %s: %w", intentID, err)
	}
	return rows, nil
}
