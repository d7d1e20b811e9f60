package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
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
func isolation(p *program.Program, d *deployment.Deployment, n int, perSecond float64) bool {
	merchants := []*deployment.Deployment{d}
	for range deadPerMerchant[1:] {
		merchants = append(merchants, merchant(p, d))
	}
	alone := deliveries(p, merchants, "alone", n, perSecond)
	fmt.Printf("no dead endpoint:  %s\n", alone)
	for i, m := range merchants {
		for range deadPerMerchant[i] {
			subscribeDead(p, m, i)
		}
	}
	deliveries(p, merchants, "warm", n/4, perSecond) // finds out who is dead
	beside := deliveries(p, merchants, "beside", n, perSecond)
	fmt.Printf("50 dead endpoints: %s\n", beside)
	fmt.Printf("p99 ratio %.2f (at most 2 is expected)\n", beside.p99.Seconds()/alone.p99.Seconds())
	return true
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

// latency is from the event to the healthy endpoint's answer.
type latency struct {
	perSecond float64
	p50, p99  time.Duration
}

func (l latency) String() string {
	return fmt.Sprintf("%5.1f deliveries/s, p50 %.3f s, p99 %.3f s from event to 200", l.perSecond, l.p50.Seconds(), l.p99.Seconds())
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
	ctx, cancel := context.WithTimeout(p.Context(), 5*time.Minute)
	defer cancel()
	var took []time.Duration
	var arrived []time.Time
	for _, id := range ids {
		if _, err := merchants[0].Receiver.Wait(ctx, id, "payment_intent.manual_review"); err != nil {
			p.Fatal(err)
		}
		for _, got := range merchants[0].Receiver.Deliveries(id) {
			took, arrived = append(took, got.At.Sub(got.Event.Timestamp)), append(arrived, got.At)
		}
	}
	slices.Sort(took)
	return latency{perSecond: rate(arrived), p50: took[len(took)/2], p99: took[len(took)*99/100]}
}
