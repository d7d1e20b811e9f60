package e2e_test

import (
	"context"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
)

// TestLaneWithoutGas pays over a lane that has no ether: the payment says so, the
// lane is paused, and both go on when it is topped up.
func TestLaneWithoutGas(t *testing.T) {
	t.Parallel()
	d := troubledOn(t, deployment.Options{EthereumLanes: 1, DryLanes: true}, nil)
	id := d.order(t, "ethereum", payeeOn(t, "ethereum"))
	eventually(t, func() bool { return d.Get(t, id).Substatus == payment.AwaitingGas }, "nobody says that %s waits for gas", id)
	lane := d.EthereumLanes[0]
	d.laneWas(t, lane, "lane.pause", "out of gas")

	const ether = 1_000_000_000_000_000_000
	d.Sandbox.Ethereum(t).Fund(t, lane, big.NewInt(ether), 0)
	if err := d.Store.Tx(t.Context(), func(ctx context.Context, tx *store.Tx) error {
		return ledger.FundGas(ctx, tx, "gas:top-up", "ethereum", "ETH", payment.Units(ether))
	}); err != nil {
		t.Fatal(err)
	}
	d.overcome(t)
	d.signedOnce(t, id)
	d.laneWas(t, lane, "lane.resume", "ETH")
	d.order(t, "ethereum", payeeOn(t, "ethereum"))
	d.overcome(t)
}

// laneWas waits until the audit log says that something was done to a lane, and why.
func (d *troubled) laneWas(t *testing.T, lane, action, reason string) {
	t.Helper()
	eventually(t, func() bool {
		log, err := d.Store.AuditLog(t.Context(), "ethereum:"+lane)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(log, func(e db.AuditLog) bool { return e.Action == action && strings.Contains(e.Reason, reason) })
	}, "no %s of lane %s because of %q", action, lane, reason)
}
