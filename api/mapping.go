package api

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
)

// problemOf is the one place where errors of the domain become answers. What
// it does not know is our fault and says nothing about our inside.
func problemOf(err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, store.ErrNotFound):
		return fail(NotFound, "").because(err)
	case errors.Is(err, store.ErrInsufficientFunds):
		return fail(InsufficientFunds, "").because(err)
	case errors.Is(err, store.ErrSponsorshipSpent):
		return fail(SponsorshipSpent, "").because(err)
	case errors.Is(err, store.ErrIllegalTransition):
		return fail(NotCancelable, "").because(err)
	case errors.Is(err, store.ErrConflict):
		return fail(Conflict, "").because(err)
	case errors.Is(err, store.ErrKeyEnded):
		return fail(APIKeyEnded, "").because(err)
	case errors.Is(err, webhooks.ErrTooManyEndpoints):
		return fail(WebhookEndpointLimit, "").because(err)
	case errors.Is(err, webhooks.ErrEndpointDisabled):
		return fail(WebhookEndpointOff, "").because(err)
	case errors.Is(err, webhooks.ErrAddressRefused):
		return failFields([]FieldError{{"#/url", WebhookURLRefused, said(err, webhooks.ErrAddressRefused)}})
	case errors.Is(err, webhooks.ErrURL):
		return failFields([]FieldError{{"#/url", WebhookURLInvalid, said(err, webhooks.ErrURL)}})
	case errors.Is(err, webhooks.ErrEventType):
		return failFields([]FieldError{{"#/event_types", FieldInvalid, said(err, webhooks.ErrEventType)}})
	case unavailable(err):
		return fail(Unavailable, "").because(err)
	}
	return fail(InternalError, "").because(err)
}

// addressError is a chain's verdict on a destination, at a pointer.
func addressError(at string, err *payment.AddressError) FieldError {
	code := Code(err.Code)
	if _, ok := codeByName[code]; !ok {
		code = AddressMalformed
	}
	return FieldError{at, code, sentence(err.Detail)}
}

// amountError explains why an amount could not be read, or is not payable.
func amountError(at string, err error) FieldError {
	code := AmountMalformed
	switch {
	case errors.Is(err, payment.ErrAmountPrecision):
		code = AmountTooPrecise
	case errors.Is(err, payment.ErrAmountRange):
		code = AmountTooLarge
	}
	return FieldError{at, code, codeByName[code].Remedy}
}

// said is the part of a message that explains the sentinel.
func said(err, sentinel error) string {
	_, after, ok := strings.Cut(err.Error(), sentinel.Error()+": ")
	if !ok {
		return ""
	}
	return sentence(after)
}

// unavailable reports whether an error passes by itself: the database or the
// network does not answer, or the client or the deadline cut us off.
func unavailable(err error) bool {
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) {
		return true
	}
	state := store.SQLState(err)
	if len(state) != 5 {
		return false
	}
	switch state[:2] {
	case "08", "28", "3D", "53", "57": // connection, login, no database, resources, operator intervention
		return true
	}
	return state == "40001" || state == "40P01" || state == "55P03" // still contended after the retries
}
