package activities

import (
	"context"
	"time"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/store/db"
	"github.com/settlehq/settle/webhooks"
)

// How many payments, and how many deliveries, one round looks at.
const (
	strandedPage   = 200
	deliveriesPage = 500
)

// Cursor is the place in the list of open payments behind which a round begins.
type Cursor struct {
	CreatedAt time.Time `json:"created_at"`
	ID        string    `json:"id"`
}

// OpenPayment is what a workflow's start tells about its payment.
type OpenPayment struct {
	ID           string                `json:"id"`
	MerchantID   string                `json:"merchant_id"`
	Status       payment.Status        `json:"status"`
	Amount       payment.Amount        `json:"amount"`
	Asset        string                `json:"asset"`
	Destinations []payment.Destination `json:"destinations"`
	Reference    string                `json:"reference"`
	RequestID    string                `json:"request_id"`
}

func openPayment(i payment.Intent) OpenPayment {
	return OpenPayment{ID: i.ID, MerchantID: i.MerchantID, Status: i.Status, Amount: i.Amount,
		Asset: i.Asset.Code, Destinations: i.Destinations, Reference: i.Reference, RequestID: i.RequestID}
}

// Waiting is what may have lost its workflow.
type Waiting struct {
	Payments   []OpenPayment `json:"payments"`   // oldest first
	Deliveries []DeliveryRef `json:"deliveries"` // of payments that have ended or wait for a person
	Next       Cursor        `json:"next"`       // where the next round begins; zero: from the oldest on
}

// Stranded lists open payments, in review or not, that nobody has changed for
// StrandedAfter, and webhook deliveries that are overdue by as much, of each
// endpoint in turn; of one that keeps failing the oldest only, which probes it.
// Most have a workflow, which merely waits; who starts it again finds that out.
// Payments that are sent are looked after anyway, and are listed after
// StalledAfter only. It goes through all of them round by round, so that many
// that wait cannot hide one that is stranded.
func (s *Steps) Stranded(ctx context.Context, after Cursor) (Waiting, error) {
	rows, err := s.Store.IdleIntents(ctx, store.Cursor(after), s.strandedAfter(), s.stalledAfter(), strandedPage)
	if err != nil {
		return Waiting{}, err
	}
	var out Waiting
	for _, i := range rows {
		out.Payments = append(out.Payments, openPayment(i))
	}
	if n := len(rows); n == strandedPage {
		out.Next = Cursor{rows[n-1].CreatedAt, rows[n-1].ID}
	}
	overdue, err := s.Store.Queries().OverdueDeliveries(ctx, db.OverdueDeliveriesParams{OverdueSeconds: s.strandedAfter().Seconds(),
		FailingAfter: webhooks.FailingAfter, MaxRows: deliveriesPage})
	for _, d := range overdue {
		out.Deliveries = append(out.Deliveries, DeliveryRef{EventID: d.EventID, EndpointID: d.EndpointID})
	}
	return out, err
}
