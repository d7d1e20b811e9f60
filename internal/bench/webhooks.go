package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/settlehq/settle/internal/deployment"
	"github.com/settlehq/settle/internal/program"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// deadPerMerchant adds up to 50 dead endpoints. The first merchant has the
// healthy one too; a merchant may have 16.
var deadPerMerchant = []int{15, 12, 12, 11}

// isolation measures how long webhooks take to a healthy endpoint, without and
// with 50 dead ones: a third refuses connections, a third never answers, and a
// third answers 500 after ten seconds. Payments of all merchants come at a
// fixed rate and stop at a person, so that no chain is involved.
func isolation(p *program.Program, d *deployment.Deployment, n, rounds int, perSecond float64) {
	merchants := []*deployment.Deployment{d}
	for range deadPerMerchant[1:] {
		merchants = append(merchants, merchant(p, d))
	}
	measure := func(name string) latency {
		var all []latency
		for round := range rounds {
			l := deliveries(p, merchants, fmt.Sprintf("%s-%d", name, round), n, perSecond)
			fmt.Printf("round %d, %s: webhooks %s\n", round+1, name, l)
			all = append(all, l)
		}
		return medianOf(all)
	}
	alone := measure("no dead endpoint")
	for i, m := range merchants {
		for range deadPerMerchant[i] {
			subscribeDead(p, m, i)
		}
	}
	found := deliveries(p, merchants, "dead", n, perSecond)
	fmt.Printf("while it is found out that 50 endpoints are dead: webhooks %s\n", found)
	beside := measure("50 dead endpoints")
	fmt.Printf("no dead endpoint:   %s, from event to 200 (median of %d rounds)\n", alone, rounds)
	fmt.Printf("50 dead endpoints:  %s, from event to 200 (median of %d rounds)\n", beside, rounds)
	fmt.Printf("isolation:          %.2f, p99 beside dead endpoints over p99 without them (at most 2 is expected); %.2f while they are found out\n",
		beside.p99.Seconds()/alone.p99.Seconds(), found.p99.Seconds()/alone.p99.Seconds())
}

// merchant makes another merchant of the deployment, with money and a key.
func merchant(p *program.Program, d *deployment.Deployment) *deployment.Deployment {
	m := *d
	review := payment.Units(1)
	err := d.Store.Tx(p.Context(), func(ctx context.Context, tx *store.Tx) error {
		made, err := tx.CreateMerchant(ctx, store.Merchant{Name: "Neighbour", ReviewAbove: &review})
		if err != nil {
			return err
		}
		m.MerchantID = made.ID
		return ledger.Deposit(ctx, tx, "deposit:"+made.ID, ledger.Holder{MerchantID: made.ID, Mode: payment.Test}, "ethereum", payment.USDC, payment.Units(1_000_000_000), time.Now())
	})
	if err != nil {
		p.Fatal(err)
	}
	m.Key = strings.TrimSpace(d.Run(p, "keys", "create", "--merchant", m.MerchantID, "--mode", "test"))
	return &m
}

// subscribeDead registers an endpoint of the kind'th way to be dead.
func subscribeDead(p *program.Program, m *deployment.Deployment, kind int) {
	var url string
	switch kind % 3 {
	case 0: // takes connections and never answers
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.Fatal(err)
		}
		p.Cleanup(func() { _ = l.Close() })
		url = "http://" + l.Addr().String()
	case 1: // refuses connections
		url = "http://127.0.0.1:1"
	default: // slow, and fails
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(10 * time.Second):
			case <-r.Context().Done():
			}
			w.WriteHeader(http.StatusInternalServerError)
		}))
		p.Cleanup(s.CloseClientConnections)
		url = s.URL
	}
	a, err := m.Call(p.Context(), http.MethodPost, "/v1/webhook_endpoints", "", map[string]any{"url": url, "event_types": []string{"payment_intent.manual_review"}})
	if err != nil || a.Status != http.StatusCreated {
		p.Fatalf("dead endpoint: %d %s, %v", a.Status, a.Body, err)
	}
}

// deliveries orders n payments of each merchant at the rate of all, and waits
// until the first merchant's receiver has heard of every one of its own.
func deliveries(p *program.Program, merchants []*deployment.Deployment, name string, n int, perSecond float64) latency {
	payee := sandbox.NewEthereumAddress(p)
	tick := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer tick.Stop()
	ids := make([]string, n)
	var group errgroup.Group
	for i := range n * len(merchants) {
		<-tick.C
		group.Go(func() error {
			m, k := i%len(merchants), i/len(merchants)
			id := merchants[m].Pay(p, fmt.Sprintf("%s-%d", name, i), deployment.To("ethereum", payee, "0.01")).ID
			if m == 0 {
				ids[k] = id
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		p.Fatal(err)
	}
	return arrivals(p, merchants[0], ids)
}

// arrivals waits until the receiver has heard of every payment, and measures from
// the event to the answer.
func arrivals(p *program.Program, d *deployment.Deployment, ids []string) latency {
	ctx, cancel := context.WithTimeout(p.Context(), 10*time.Minute)
	defer cancel()
	var took []time.Duration
	var arrived []time.Time
	for _, id := range ids {
		if _, err := d.Receiver.Wait(ctx, id, "payment_intent.manual_review"); err != nil {
			p.Fatal(err)
		}
		for _, got := range d.Receiver.Deliveries(id) {
			took, arrived = append(took, got.At.Sub(got.Event.Timestamp)), append(arrived, got.At)
		}
	}
	return latencyOf(arrived, took)
}
