package e2e_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/rpc"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/faultproxy"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/payment"
)

// TestTroublesOnSolana pays while the chain goes wrong in every way, one after
// the other on the same chain.
func TestTroublesOnSolana(t *testing.T) {
	t.Parallel()
	s := troubledOnSolana(t, deployment.Options{})
	meet(t, []trouble{{"Dropped", s.dropped}, {"Reorged", s.reorganised}, {"ExpiredBlockhash", s.expired}, {"Blacklisted", s.blacklisted}})
}

// TestTroublesWithGuardAccounts does so where the chain lets one of several
// transactions pay.
func TestTroublesWithGuardAccounts(t *testing.T) {
	t.Parallel()
	s := troubledOnSolana(t, deployment.Options{GuardAccounts: true})
	meet(t, []trouble{{"Stuck", s.stuck}, {"Swallowed", s.swallowed}})
}

// troubledOnSolana starts a Settle before a Solana of its own.
func troubledOnSolana(t *testing.T, o deployment.Options) *onSolana {
	t.Helper()
	s := &onSolana{chain: sandbox.StartSolana(t, 50*time.Millisecond)}
	o.Proxies, o.SkipSolanaSlots = 1, true
	s.troubled = troubledOn(t, o, func(sb *sandbox.Sandbox) { sb.Descriptor.Solana = s.chain })
	var err error
	if s.client, err = rpc.DialContext(t.Context(), s.chain.HTTPURL); err != nil { // any JSON-RPC client reads it
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

type onSolana struct {
	*troubled
	chain  sandbox.Solana
	client *rpc.Client
}

// slot is the slot of a transaction; ok is false if it is in none.
func (s *onSolana) slot(t *testing.T, signature string) (slot int, ok bool) {
	t.Helper()
	var statuses struct {
		Value []*struct{ Slot int }
	}
	s.call(t, &statuses, "getSignatureStatuses", []string{signature}, map[string]bool{"searchTransactionHistory": true})
	if statuses.Value[0] == nil {
		return 0, false
	}
	return statuses.Value[0].Slot, true
}

func (s *onSolana) call(t *testing.T, out any, method string, params ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	if err := s.client.CallContext(ctx, out, method, params...); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
}

// The node accepts the transaction and forgets it: the same bytes are sent again.
func (s *onSolana) dropped(t *testing.T) {
	s.chain.DropNext(t, 1)
	id := s.order(t, "solana", payeeOn(t, "solana"))
	s.overcome(t)
	s.signedOnce(t, id)
}

// The fork with the transaction is abandoned: the merchant is told, and the same
// bytes are sent again.
func (s *onSolana) reorganised(t *testing.T) {
	id := s.order(t, "solana", payeeOn(t, "solana"))
	signature := s.sent(t, id)[0]
	var landed int
	eventually(t, func() (ok bool) { landed, ok = s.slot(t, signature); return ok }, "%s is in no block", signature)
	s.chain.Pause(t, true)
	s.chain.AdvanceSlots(t, 2) // confirmed for sure
	s.Await(t, within, []string{id}, payment.Confirming)
	var tip int
	s.call(t, &tip, "getSlot", map[string]string{"commitment": "processed"})
	if lost := s.chain.Fork(t, tip-landed+1); !slices.Contains(lost, signature) {
		t.Fatalf("the fork did not take %s along, only %v", signature, lost)
	}
	s.reorged(t, id)
	s.chain.Pause(t, false)
	s.overcome(t)
	s.signedOnce(t, id)
}

// No node passes the bytes on until their blockhash has expired. A second
// transaction is signed, and only after the proof that the first is dead.
func (s *onSolana) expired(t *testing.T) {
	proxy := s.SolanaProxies[0]
	proxy.Add(faultproxy.Fault{Kind: faultproxy.Swallowed, Method: faultproxy.SolanaSend})
	id := s.order(t, "solana", payeeOn(t, "solana"))
	first := s.sent(t, id)[0]
	eventually(t, func() bool { return proxy.Struck()[faultproxy.Swallowed] > 0 }, "nothing was sent")
	if slots := s.slots(t, id); len(slots) != 1 || slots[0].State != "live" {
		t.Fatalf("%+v, want one live slot while the blockhash is valid", slots)
	}
	proxy.Clear()
	s.chain.Pause(t, true) // or the next sending would land
	s.chain.AdvanceSlots(t, 151+32)
	s.chain.Pause(t, false)
	s.overcome(t)

	slots := s.slots(t, id)
	if len(slots) != 2 {
		t.Fatalf("%d slots, want a dead one and a paid one", len(slots))
	}
	dead, paid := slots[0], slots[1]
	if dead.Outcome == nil || dead.Outcome.Result != "dead" || paid.Outcome.Result != "paid" {
		t.Fatalf("outcomes %+v and %+v", dead.Outcome, paid.Outcome)
	}
	if paid.CreatedAt.Before(*dead.ClosedAt) {
		t.Errorf("the second slot is of %s, the death of the first of %s", paid.CreatedAt, dead.ClosedAt)
	}
	var proof struct {
		Kind       chains.SightingKind
		LastValid  uint64 `json:"last_valid_block_height"`
		Signatures []string
		Observed   struct {
			FinalizedHeight uint64 `json:"finalized_height"`
		}
	}
	if err := json.Unmarshal(dead.Outcome.Proof, &proof); err != nil || proof.Kind != chains.Dead || !slices.Contains(proof.Signatures, first) || proof.Observed.FinalizedHeight <= proof.LastValid {
		t.Errorf("this is no proof of death: %s (%v)", dead.Outcome.Proof, err)
	}
}

// The token's issuer freezes the payee's account after the order was accepted: the
// transaction fails for good, and so does the payment.
func (s *onSolana) blacklisted(t *testing.T) {
	payee, proxy := payeeOn(t, "solana"), s.SolanaProxies[0]
	s.chain.Fund(t, payee, 0, 1)
	proxy.Add(faultproxy.Fault{Kind: faultproxy.Swallowed, Method: faultproxy.SolanaSend})
	id := s.order(t, "solana", payee)
	s.sent(t, id)
	s.chain.Freeze(t, payee, true)
	s.chain.AdvanceSlots(t, 2) // it is frozen now
	proxy.Clear()
	s.unpaid[id] = payment.Failed
	s.overcome(t)
	if r := s.Get(t, id); r.Failure == nil || r.Failure.Code != "payee_refused" {
		t.Errorf("failure %+v", r.Failure)
	}
}

// No block takes the payment: it is outbid under its guard account, and when all
// its transactions land, one pays.
func (s *onSolana) stuck(t *testing.T) {
	s.chain.Pause(t, true)
	id := s.order(t, "solana", payeeOn(t, "solana"))
	s.outbid(t, id)
	s.chain.Pause(t, false)
	s.overcome(t)
	s.oneSlot(t, id)
}

// No node passes on what was signed first: what was signed last pays, while the
// first could still land.
func (s *onSolana) swallowed(t *testing.T) {
	proxy := s.SolanaProxies[0]
	proxy.Add(faultproxy.Fault{Kind: faultproxy.Swallowed, Method: faultproxy.SolanaSend})
	id := s.order(t, "solana", payeeOn(t, "solana"))
	s.outbid(t, id)
	proxy.Clear()
	s.overcome(t)
	if first := s.sent(t, id)[0]; s.Get(t, id).TxHash == first {
		t.Errorf("paid by %s, which was swallowed", first)
	}
	s.oneSlot(t, id)
}

// outbid waits until a payment has more than one transaction, and its merchant
// is told.
func (s *onSolana) outbid(t *testing.T, id string) {
	t.Helper()
	eventually(t, func() bool { return len(s.sent(t, id)) > 1 && s.Get(t, id).Substatus == payment.FeeBumped }, "%s is not outbid", id)
}

// oneSlot fails the test if a payment took more than one guard account.
func (s *onSolana) oneSlot(t *testing.T, id string) {
	t.Helper()
	if slots := s.slots(t, id); len(slots) != 1 || !slices.Contains(s.sent(t, id), s.Get(t, id).TxHash) {
		t.Errorf("%d slots, want one, and one of its transactions to pay", len(slots))
	}
}
