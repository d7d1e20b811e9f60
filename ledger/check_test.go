package ledger_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
)

// damage is done past every guard, as by a restored backup or a hand.
var damages = []struct {
	name string
	sql  []string
	want []ledger.Code
}{
	{"an entry lost a unit", []string{
		"UPDATE ledger_entries SET amount = amount - 1 WHERE transfer_id = (SELECT id FROM ledger_transfers WHERE reference = $settled || ':settle') AND seq = 1",
	}, []ledger.Code{ledger.TransferUnbalanced, ledger.AssetUnbalanced, ledger.BalanceDiffers, ledger.AccountChain, ledger.SettlementOfIntent}},
	{"the entries of a transfer are gone", []string{
		"DELETE FROM ledger_entries WHERE transfer_id = (SELECT id FROM ledger_transfers WHERE reference LIKE 'deposit%')",
	}, []ledger.Code{ledger.TransferEntries, ledger.BalanceDiffers, ledger.AccountChain}},
	{"a void has entries", []string{
		"INSERT INTO ledger_entries SELECT t.id, x.seq, a.id, 'USDC', x.amount FROM ledger_transfers t, ledger_accounts a, (VALUES (1, 5), (2, -5)) x(seq, amount) WHERE t.reference = $canceled || ':void' AND a.kind = 'conversion' AND a.asset = 'USDC'",
	}, []ledger.Code{ledger.TransferEntries}},
	{"owed and held parted", []string{
		"INSERT INTO ledger_transfers (reference, request_hash, phase, effective_at) VALUES ('x', '', 'single', now())",
		"INSERT INTO ledger_entries SELECT t.id, x.seq, a.id, 'USDC.ethereum', x.amount FROM ledger_transfers t, (VALUES (1, 'conversion', 5), (2, 'custody', -5)) x(seq, kind, amount) JOIN ledger_accounts a ON a.kind = x.kind AND a.asset = 'USDC.ethereum' WHERE t.reference = 'x'",
	}, []ledger.Code{ledger.ConversionOpen}},
	{"a balance was edited", []string{
		"UPDATE ledger_accounts SET credits_posted = credits_posted + 1 WHERE owner = $holder",
	}, []ledger.Code{ledger.BalanceDiffers}},
	{"a pending sum was edited", []string{
		"UPDATE ledger_accounts SET debits_pending = debits_pending - 1 WHERE owner = $holder",
	}, []ledger.Code{ledger.BalanceDiffers}},
	{"a version is missing", []string{
		"UPDATE ledger_entries SET account_version = account_version + 1 WHERE account_version = 2",
	}, []ledger.Code{ledger.AccountChain}},
	{"a balance after was below zero", []string{
		"UPDATE ledger_entries SET balance_after = -1 WHERE account_version = 2",
	}, []ledger.Code{ledger.AccountChain, ledger.FloorCrossed}},
	{"a hold was resolved twice", []string{
		"ALTER TABLE ledger_transfers DROP CONSTRAINT ledger_transfers_pending_id_key",
		"INSERT INTO ledger_transfers (reference, request_hash, phase, pending_id, effective_at) SELECT 'x', '', 'void', id, now() FROM ledger_transfers WHERE reference = $canceled || ':hold'",
	}, []ledger.Code{ledger.HoldResolution}},
	{"a hold shrank after it was spent", []string{
		"UPDATE ledger_transfers SET hold_amount = hold_amount - 1 WHERE reference = $settled || ':hold'",
	}, []ledger.Code{ledger.HoldResolution, ledger.HoldOfIntent}},
	{"an open hold shrank", []string{
		"UPDATE ledger_transfers SET hold_amount = hold_amount - 1 WHERE reference = $open || ':hold'",
	}, []ledger.Code{ledger.BalanceDiffers, ledger.HoldOfIntent}},
	{"a canceled intent kept its hold", []string{
		"DELETE FROM ledger_transfers WHERE reference = $canceled || ':void'",
	}, []ledger.Code{ledger.BalanceDiffers, ledger.HoldOfIntent}},
	{"an open intent lost its hold", []string{
		"INSERT INTO ledger_transfers (reference, request_hash, phase, pending_id, effective_at) SELECT 'x', '', 'void', id, now() FROM ledger_transfers WHERE reference = $open || ':hold'",
	}, []ledger.Code{ledger.BalanceDiffers, ledger.HoldOfIntent}},
	{"a hold belongs to nobody", []string{
		"UPDATE ledger_transfers SET intent_id = 'pi_gone' WHERE reference = $open || ':hold'",
	}, []ledger.Code{ledger.HoldWithoutIntent}},
	{"a payment of a batch has another hold", []string{
		"UPDATE ledger_transfers SET part_of = NULL WHERE reference = $line || ':hold'",
	}, []ledger.Code{ledger.BalanceDiffers, ledger.HoldOfBatch}},
	{"a batch lost its hold", []string{
		"INSERT INTO ledger_transfers (reference, request_hash, phase, pending_id, effective_at) SELECT 'x', '', 'void', id, now() FROM ledger_transfers WHERE reference = $batch || ':hold'",
	}, []ledger.Code{ledger.BalanceDiffers, ledger.HoldOfBatch}},
	{"the outcome is gone", []string{
		"DELETE FROM outcomes WHERE intent_id = $settled",
	}, []ledger.Code{ledger.OutcomeOfIntent, ledger.SlotState}},
	{"another amount was paid", []string{
		"UPDATE outcomes SET amount = amount - 1 WHERE intent_id = $settled",
	}, []ledger.Code{ledger.OutcomeOfIntent}},
	{"a canceled intent was paid", []string{
		"UPDATE payment_intents SET status = 'canceled' WHERE id = $settled",
	}, []ledger.Code{ledger.HoldOfIntent, ledger.OutcomeOfIntent, ledger.SettlementOfIntent, ledger.EventSnapshot}},
	{"a settlement was booked for another intent", []string{
		"UPDATE ledger_transfers SET intent_id = $open WHERE reference = $settled || ':settle'",
	}, []ledger.Code{ledger.SettlementOfIntent}},
	{"a slot outlives its intent", []string{
		"UPDATE slots SET state = 'live' WHERE intent_id = $settled",
	}, []ledger.Code{ledger.SlotState}},
	{"an event is missing", []string{
		"DELETE FROM events WHERE intent_id = $canceled AND sequence = 1",
	}, []ledger.Code{ledger.EventSequence}},
	{"the newest event is missing", []string{
		"DELETE FROM events WHERE intent_id = $canceled AND sequence = 2",
	}, []ledger.Code{ledger.EventSequence}},
	{"the newest event tells another story", []string{
		"UPDATE events SET body = convert_to(replace(convert_from(body, 'UTF8'), 'canceled', 'settled'), 'UTF8') WHERE intent_id = $canceled AND sequence = 2",
	}, []ledger.Code{ledger.EventSnapshot}},
}

func TestCheckFindsEveryDamage(t *testing.T) {
	t.Parallel()
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s, url := storetest.OpenURL(t)
			m := storetest.Merchant(t, s, 1_000)
			names := map[string]string{
				"holder":   live(m).String(),
				"settled":  storetest.Settle(t, s, storetest.Intent(t, s, m.ID, 100).ID).ID,
				"canceled": storetest.End(t, s, storetest.Intent(t, s, m.ID, 200).ID, payment.Canceled).ID,
				"open":     storetest.Intent(t, s, m.ID, 300).ID,
			}
			b, line := storetest.Batch(t, s, m.ID, 30, 40)
			names["batch"], names["line"] = b.ID, line.ID
			wantClean(t, s)

			conn := storetest.SQL(t, url)
			for _, table := range []string{"ledger_transfers", "ledger_entries", "payment_intents", "slots", "outcomes", "events"} {
				run(t, conn, "ALTER TABLE "+table+" DISABLE TRIGGER USER", nil)
			}
			for _, sql := range d.sql {
				run(t, conn, sql, names)
			}
			report, err := ledger.Check(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			found := map[ledger.Code]bool{}
			for _, difference := range report.Differences {
				found[difference.Code] = true
				if difference.Object == "" || difference.Expected == difference.Found {
					t.Errorf("says nothing: %v", difference)
				}
			}
			got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(slices.Values(d.want))
			if !slices.Equal(got, want) {
				t.Errorf("found %v, want %v:\n%v", got, want, report.Differences)
			}
		})
	}
}

// Every rule of Check has a damage above that it alone or with others finds.
func TestEveryRuleIsTested(t *testing.T) {
	t.Parallel()
	seen := map[ledger.Code]bool{ledger.CustodyDiffers: true, ledger.GasTankDiffers: true} // of Reconcile
	for _, d := range damages {
		for _, code := range d.want {
			seen[code] = true
		}
	}
	for _, code := range ledger.Codes() {
		if !seen[code] {
			t.Errorf("no damage shows %s", code)
		}
	}
}
