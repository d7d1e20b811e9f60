package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store/db"
)

// intentOf reads a row. An error means that the row was written by something
// else than this package.
func intentOf(r db.PaymentIntent) (payment.Intent, error) {
	asset, ok := payment.AssetByCode(r.Asset)
	if !ok {
		return payment.Intent{}, fmt.Errorf("intent %s: unknown asset %q", r.ID, r.Asset)
	}
	i := payment.Intent{
		ID: r.ID, MerchantID: r.MerchantID, Mode: payment.Mode(r.Mode), Asset: asset, Amount: r.Amount,
		Priority: payment.Priority(r.Priority), MaxFee: r.MaxFee, Deadline: r.Deadline, Reference: r.Reference,
		Status: payment.Status(r.Status), Substatus: payment.Substatus(r.Substatus),
		ReviewReason: payment.ReviewReason(r.ReviewReason), ReviewDetail: r.ReviewDetail, Approved: r.Approved,
		Chain: payment.Chain(r.Chain), Address: r.Address, TxHash: r.TxHash,
		RequestID: r.RequestID, Version: r.Version, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
	}
	if err := json.Unmarshal(r.Destinations, &i.Destinations); err != nil {
		return payment.Intent{}, fmt.Errorf("intent %s: destinations: %w", r.ID, err)
	}
	if err := json.Unmarshal(r.Metadata, &i.Metadata); err != nil {
		return payment.Intent{}, fmt.Errorf("intent %s: metadata: %w", r.ID, err)
	}
	if r.HoldID != nil {
		i.HoldID = *r.HoldID
	}
	if r.PayerAuthorization != nil {
		i.Authorization = new(payment.Authorization)
		if err := json.Unmarshal(r.PayerAuthorization, i.Authorization); err != nil {
			return payment.Intent{}, fmt.Errorf("intent %s: authorization: %w", r.ID, err)
		}
	}
	i.Allowed = chainsOf(r.AllowedChains)
	if r.QuoteID != nil {
		i.Quote = *r.QuoteID
	}
	if r.RetryOf != nil {
		i.RetryOf = *r.RetryOf
	}
	if r.BatchID != nil && r.BatchLine != nil {
		i.Batch = &payment.BatchRef{ID: *r.BatchID, Line: int(*r.BatchLine)}
	}
	if r.FailureCode != "" {
		i.Failure = &payment.Failure{Code: r.FailureCode, Message: r.FailureMessage}
	}
	return i, nil
}

// texts are the chains as a column keeps them, which is never NULL.
func texts(chains []payment.Chain) []string {
	out := make([]string, len(chains))
	for n, c := range chains {
		out[n] = string(c)
	}
	return out
}

func chainsOf(names []string) (chains []payment.Chain) {
	for _, n := range names {
		chains = append(chains, payment.Chain(n))
	}
	return chains
}

func intentsOf(rows []db.PaymentIntent) ([]payment.Intent, error) {
	intents := make([]payment.Intent, len(rows))
	for n, r := range rows {
		i, err := intentOf(r)
		if err != nil {
			return nil, err
		}
		intents[n] = i
	}
	return intents, nil
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
