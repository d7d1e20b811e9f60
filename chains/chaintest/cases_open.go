package chaintest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

func wrongNetwork(b *bench) {
	_, err := b.h.Open(b.Context(), Opening{Wallets: b.wallets, RPCURLs: []string{b.gate.url()}, WrongNetwork: true})
	if err == nil {
		b.Fatal("a node of another network was accepted")
	}
}

func openWithoutNode(b *bench) {
	b.gate.close()
	start := time.Now()
	if _, err := b.h.Open(b.Context(), Opening{Wallets: b.wallets, RPCURLs: []string{b.gate.url()}}); err == nil {
		b.Fatal("opened without a node")
	}
	if took := time.Since(start); took > bound {
		b.Fatalf("took %s to find out that there is no node", took)
	}
}

func staleConditions(b *bench) {
	fresh := b.open()
	if _, ok := fresh.Conditions(); ok {
		b.Fatal("conditions are known before the first refresh")
	}
	o := b.order(0, 1)
	if _, err := fresh.Sign(b.Context(), o); !errors.Is(err, chains.ErrStale) {
		b.Fatalf("sign before the first refresh: %v, want ErrStale", err)
	}
	o.Now = o.Now.Add(24 * time.Hour)
	if _, err := b.chain.Sign(b.Context(), o); !errors.Is(err, chains.ErrStale) {
		b.Fatalf("sign a day after the last refresh: %v, want ErrStale", err)
	}
}

// signIsOffline checks that signing needs no node, and that what is signed is
// the order: other terms give other bytes.
func signIsOffline(b *bench) {
	base := b.order(0, 1_250_000)
	other := []chains.Order{base, base}
	other[0].To = b.h.NewPayee(b.T)
	other[1].Amount = payment.Units(1_250_001)

	// What the refresh left in the background may still be under way; if signing
	// asked anybody, no round would be without a request.
	var first chains.Signed
	b.until(func() bool {
		before := b.gate.requests.Load()
		first = b.sign(base)
		return b.gate.requests.Load() == before
	})
	if first.Slot.Kind != chains.SlotEVMNonce { // whose transfer does not name the intent
		anotherIntent := base
		anotherIntent.IntentID = newIntentID()
		other = append(other, anotherIntent)
	}
	seen := []string{first.Tx.Hash}
	for i, o := range other {
		s := b.sign(o)
		if slices.Contains(seen, s.Tx.Hash) {
			b.Errorf("variant %d has the same transaction although its terms differ", i)
		}
		seen = append(seen, s.Tx.Hash)
	}
	switch tx := first.Tx; {
	case tx.Hash == "" || len(tx.Raw) == 0:
		b.Error("hash or bytes are missing")
	case tx.Sender != base.Lane.Address:
		b.Errorf("sender %q, want lane %q", tx.Sender, base.Lane.Address)
	case b.chain.Info().LaneNonces != (tx.Nonce != nil):
		b.Errorf("nonce %v does not fit LaneNonces %v", tx.Nonce, b.chain.Info().LaneNonces)
	case tx.MaxFee.IsZero():
		b.Error("the most that the transaction can cost is missing")
	}
	if s := first.Slot; s.Kind == "" || s.Authority == "" || s.Nonce == "" {
		b.Errorf("slot is incomplete: %+v", s)
	}
}

func destinations(b *bench) {
	b.gate.requests.Store(0)
	table := slices.Clone(b.h.Destinations)
	table = append(table,
		Destination{Name: "empty", In: "", Code: payment.AddressMalformed},
		Destination{Name: "no address", In: "not an address", Code: payment.AddressMalformed},
		Destination{Name: "long", In: strings.Repeat("a", 500), Code: payment.AddressMalformed},
		Destination{Name: "the token", In: b.chain.Info().Token, Code: payment.AddressForbidden},
		Destination{Name: "our treasury", In: b.wallets.Treasury, Code: payment.AddressForbidden},
		Destination{Name: "one of our lanes", In: b.wallets.Lanes[0], Code: payment.AddressForbidden},
	)
	payee := b.h.NewPayee(b.T)
	table = append(table, Destination{Name: "fresh payee", In: payee, Want: payee})
	for _, d := range table {
		got, err := b.chain.CheckDestination(b.Context(), d.In)
		if f := b.chain.InspectAddress(b.Context(), d.In); (f.Refusal == nil) != (d.Code == "") || f.Refusal != nil && f.Refusal.Code != d.Code || d.Code == "" && f.Canonical != d.Want {
			b.Errorf("%s: facts %+v, %v, want what CheckDestination says", d.Name, f, f.Refusal)
		}
		if read, no := b.chain.ReadAddress(d.In); (no != nil && err == nil) || (no == nil && err == nil && read != got) {
			b.Errorf("%s: reading gives %q, %v, the chain %q", d.Name, read, no, got)
		} else if offline := []string{payment.AddressMalformed, payment.AddressBadChecksum, payment.AddressWrongChain}; no == nil && slices.Contains(offline, d.Code) {
			b.Errorf("%s: reading accepts %q", d.Name, read)
		}
		if d.Code == "" {
			if err != nil || got != d.Want {
				b.Errorf("%s: %q, %v, want %q", d.Name, got, err, d.Want)
			}
			continue
		}
		var bad *payment.AddressError
		if !errors.As(err, &bad) {
			b.Errorf("%s: %q, %v, want a refusal with %s", d.Name, got, err, d.Code)
		} else if bad.Code != d.Code || bad.Detail == "" {
			b.Errorf("%s: %q (%s), want %s", d.Name, bad.Code, bad.Detail, d.Code)
		}
	}
}

// nodeGone checks that calls end soon with "unknown" when nobody listens.
func nodeGone(b *bench) {
	o := b.order(0, 1_000_000)
	s := b.sign(o)
	b.gate.close()
	unknownInTime(b, o, s)
}

func nodeHangs(b *bench) {
	o := b.order(0, 1_000_000)
	s := b.sign(o)
	b.gate.hanging.Store(true)
	unknownInTime(b, o, s)
}

func unknownInTime(b *bench, o chains.Order, s chains.Signed) {
	before, _ := b.chain.Conditions()
	timed := func(what string, call func(context.Context)) {
		start := time.Now()
		call(b.Context())
		if took := time.Since(start); took > bound {
			b.Errorf("%s took %s", what, took)
		}
	}
	timed("send", func(ctx context.Context) {
		if v := b.chain.Send(ctx, stored(s)); v.Acceptance != chains.Unsure {
			b.Errorf("send: %+v, want unknown", v)
		}
	})
	timed("scan", func(ctx context.Context) {
		if got, err := b.chain.Scan(ctx, []chains.Watched{watched(o, s)}); err == nil {
			b.Errorf("scan learned %+v from nobody", got)
		}
	})
	timed("refresh", func(ctx context.Context) {
		if err := b.chain.Refresh(ctx); err == nil {
			b.Error("refresh learned something from nobody")
		}
	})
	timed("inspect", func(ctx context.Context) {
		if f := b.chain.InspectAddress(ctx, o.To); !f.Unchecked || f.Kind != payment.KindUnknown || f.Frozen != payment.Unknown || f.Refusal != nil {
			b.Errorf("inspect learned %+v from nobody", f)
		}
	})
	if after, ok := b.chain.Conditions(); !ok || !after.ObservedAt.Equal(before.ObservedAt) {
		b.Error("a failed refresh replaced the conditions")
	}
}
