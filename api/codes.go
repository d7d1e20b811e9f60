package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/settlehq/settle/payment"
)

// Code names an error for programs. Codes are stable: new ones may be added,
// an existing one never changes its meaning.
type Code string

// Codes. What each means and what to do is in the table below.
const (
	MalformedRequest      Code = "malformed_request"
	ParameterInvalid      Code = "parameter_invalid"
	CursorInvalid         Code = "cursor_invalid"
	IdempotencyKeyMissing Code = "idempotency_key_missing"
	IdempotencyKeyInvalid Code = "idempotency_key_invalid"

	Unauthenticated Code = "unauthenticated"
	APIKeyMalformed Code = "api_key_malformed"
	APIKeyInvalid   Code = "api_key_invalid"
	ScopeMissing    Code = "scope_missing"

	NotFound             Code = "not_found"
	RouteNotFound        Code = "route_not_found"
	MethodNotAllowed     Code = "method_not_allowed"
	RequestTimeout       Code = "request_timeout"
	RequestTooLarge      Code = "request_too_large"
	UnsupportedMediaType Code = "unsupported_media_type"

	NotCancelable        Code = "not_cancelable"
	NotStartable         Code = "not_startable"
	IdempotencyKeyUsed   Code = "idempotency_key_used"
	IdempotencyMismatch  Code = "idempotency_mismatch"
	QuoteUsed            Code = "quote_used"
	QuoteExpired         Code = "quote_expired"
	NotRetryable         Code = "not_retryable"
	AlreadyRetried       Code = "already_retried"
	Conflict             Code = "conflict"
	WebhookEndpointLimit Code = "webhook_endpoint_limit"
	WebhookEndpointOff   Code = "webhook_endpoint_disabled"
	ScheduleOver         Code = "schedule_over"
	APIKeyEnded          Code = "api_key_ended"

	ValidationFailed     Code = "validation_failed"
	FieldMissing         Code = "field_missing"
	FieldUnknown         Code = "field_unknown"
	FieldInvalid         Code = "field_invalid"
	AmountMalformed      Code = "amount_malformed"
	AmountNotPositive    Code = "amount_not_positive"
	AmountTooPrecise     Code = "amount_too_precise"
	AmountTooLarge       Code = "amount_too_large"
	AmountAboveLimit     Code = "amount_above_limit"
	AssetUnknown         Code = "asset_unknown"
	ChainNotConfigured   Code = "chain_not_configured"
	ChainNotAllowed      Code = "chain_not_allowed"
	DestinationDuplicate Code = "destination_duplicate"
	QuoteNotFound        Code = "quote_not_found"
	QuoteNoRoute         Code = "quote_no_route"
	QuoteConflict        Code = "quote_conflict"
	DeadlinePast         Code = "deadline_past"
	TimetableInvalid     Code = "timetable_invalid"
	MetadataInvalid      Code = "metadata_invalid"
	LineMalformed        Code = "line_malformed"
	ReferenceDuplicate   Code = "reference_duplicate"
	BatchTooLong         Code = "batch_too_long"
	InsufficientFunds    Code = "insufficient_funds"
	WebhookURLInvalid    Code = "webhook_url_invalid"
	WebhookURLRefused    Code = "webhook_url_refused"

	AddressMalformed    Code = payment.AddressMalformed
	AddressBadChecksum  Code = payment.AddressBadChecksum
	AddressWrongChain   Code = payment.AddressWrongChain
	AddressOffCurve     Code = payment.AddressOffCurve
	AddressTokenAccount Code = payment.AddressTokenAccount
	AddressForbidden    Code = payment.AddressForbidden
	AddressFrozen       Code = payment.AddressFrozen
	AddressBlocked      Code = "address_blocked"

	SponsorshipOff         Code = "sponsorship_off"
	SponsorshipSpent       Code = "sponsorship_spent"
	AuthorizationTaken     Code = "authorization_taken"
	SponsoringNotOffered   Code = payment.SponsoringNotOffered
	AuthorizationMalformed Code = payment.AuthorizationMalformed
	AuthorizationSignature Code = payment.AuthorizationSignature
	AuthorizationWindow    Code = payment.AuthorizationWindow
	AuthorizationSpent     Code = payment.AuthorizationSpent
	AuthorizationRefused   Code = payment.AuthorizationRefused
	PayerBalance           Code = payment.PayerBalance
	SponsorFeeTooHigh      Code = payment.SponsorFeeTooHigh

	DestinationUnverified Code = "destination_unverified"
	Unavailable           Code = "unavailable"
	InternalError         Code = "internal_error"
	RateLimited           Code = "rate_limited"
	BacklogFull           Code = "backlog_full"
	StreamLimit           Code = "stream_limit"
	StreamsFull           Code = "streams_full"
)

// CodeInfo is what a code means, the same for every occurrence.
type CodeInfo struct {
	Code   Code
	Status int    // HTTP
	Title  string // what happened
	Remedy string // what to do
}

// Codes lists every code in the order of its HTTP status. docs/errors.md is
// rendered from it.
func Codes() []CodeInfo { return append([]CodeInfo(nil), codes...) }

var codes = []CodeInfo{
	{MalformedRequest, 400, "The body is not readable JSON", "Send one JSON object, in UTF-8, as documented for the operation."},
	{ParameterInvalid, 400, "A query or header parameter is not usable", "Correct the parameter that errors[].pointer names."},
	{CursorInvalid, 400, "The cursor does not belong to this list", "Use next_cursor unchanged, with the same filters; without cursor the list starts over."},
	{IdempotencyKeyMissing, 400, "The Idempotency-Key header is missing", "Send a key of your own making, e.g. a UUID, and the same key again when you repeat the request."},
	{IdempotencyKeyInvalid, 400, "The Idempotency-Key header is not usable", "Use 1 to 255 printable ASCII characters."},

	{Unauthenticated, 401, "No API key was sent", "Send Authorization: Bearer and the key, sk_..."},
	{APIKeyMalformed, 401, "The API key is mistyped or cut off", "Its checksum does not fit: copy the whole key again, to its last character."},
	{APIKeyInvalid, 401, "The API key is not valid", "It is unknown, revoked or expired: use another one, or have one issued."},

	{ScopeMissing, 403, "The API key may not do this", "Use a key with the scope that the detail names."},

	{SponsorshipOff, 403, "Payments are not sponsored for you", "Have sponsoring switched on, or have the payer submit the authorization."},

	{NotFound, 404, "There is no such object", "Check the id. Of payments and what belongs to them, test keys see only test objects, live keys only live ones."},
	{RouteNotFound, 404, "There is no such route", "See /docs for the routes."},
	{MethodNotAllowed, 405, "The route does not know this method", "The Allow header lists those that it knows."},
	{RequestTimeout, 408, "The request arrived too slowly", "Repeat it, with the same Idempotency-Key."},

	{NotCancelable, 409, "The payment can no longer be stopped", "Signed bytes may have left us, or the payment has ended: follow it by its events."},
	{NotStartable, 409, "The batch cannot be started", "Only a batch that is ready can be: correct the lines that its errors list and upload it again."},
	{IdempotencyKeyUsed, 409, "The Idempotency-Key has made another payment", "That payment stands, and its stored answer has expired or is that of another route: find it in the list, and use a new key for a new payment."},
	{QuoteUsed, 409, "The quote was used", "existing_id is the payment that it made. Ask for a new quote to pay again."},
	{QuoteExpired, 409, "The quote has expired", "Ask for a new one, or order without one."},
	{NotRetryable, 409, "Only a payment that ended unpaid can be retried", "One that is under way may still be paid: follow it by its events, or cancel it. To pay again what is settled, order a new payment."},
	{AlreadyRetried, 409, "The payment was retried", "existing_id is its retry: if that ended unpaid too, retry that one."},
	{Conflict, 409, "Another change came first", "Read the object again and repeat the request."},
	{AuthorizationTaken, 409, "The authorization has its payment already", "existing_id is that payment, if it is yours. For another payment the payer must sign another nonce."},
	{WebhookEndpointLimit, 409, "There are as many webhook endpoints as allowed", "Disable one that you do not need."},
	{WebhookEndpointOff, 409, "The webhook endpoint is disabled", "Enable it first: nothing is sent to a disabled endpoint."},
	{ScheduleOver, 409, "The schedule pays nothing any more", "It was canceled, or has no due time left: create a new one."},
	{APIKeyEnded, 409, "The API key has ended", "It is revoked or expired already: issue a new one instead."},

	{RequestTooLarge, 413, "The body is too large", "Keep it below 64 kB."},
	{UnsupportedMediaType, 415, "The body's media type is not supported", "Send Content-Type: application/json."},

	{ValidationFailed, 422, "Several fields are not usable", "Correct each field that errors[] lists."},
	{FieldMissing, 422, "A required field is missing", "Add the field that errors[].pointer names."},
	{FieldUnknown, 422, "A field is not known", "Remove it, or correct its spelling; unknown fields are refused so that a typo cannot change a payment."},
	{FieldInvalid, 422, "A field has an unusable value", "Correct it as errors[].detail says."},
	{AmountMalformed, 422, "The amount is not a plain decimal string", `Write it as a string of digits with at most one point, e.g. "12.50".`},
	{AmountNotPositive, 422, "The amount is zero or negative", "Give more than 0."},
	{AmountTooPrecise, 422, "The amount has more decimals than the asset", "Round it; USDC has 6 decimals. Settle never rounds by itself."},
	{AmountTooLarge, 422, "The amount is larger than any chain can pay", "Stay below 2^64 base units (18446744073709.551615 USDC)."},
	{AmountAboveLimit, 422, "The amount is above your limit for one payment", "Split it, or have the limit raised."},
	{AssetUnknown, 422, "The asset is not known", "Use one of the codes that errors[].detail lists."},
	{ChainNotConfigured, 422, "The chain is not configured here", "Use a name or CAIP-2 id that GET /v1/chains lists."},
	{ChainNotAllowed, 422, "No destination is on a chain that may pay", "Name the chain of a destination in allowed_chains, or leave it out."},
	{QuoteNotFound, 422, "There is no such quote", "Check the id and the mode of the key."},
	{QuoteNoRoute, 422, "The quote found no chain that could pay", "Ask for a new quote, or order without one: the payment then waits until a chain can take it or a person decides."},
	{QuoteConflict, 422, "The field is the quote's", "Leave it out: the quote says it. For another order, ask for another quote."},
	{DestinationDuplicate, 422, "A chain is named twice among the destinations", "Give at most one address per chain."},
	{AddressMalformed, 422, "The destination is not an address", "Correct it."},
	{AddressBadChecksum, 422, "The address's capitals do not match its checksum (EIP-55)", "It is mistyped: copy it again. All lower case skips the check."},
	{AddressWrongChain, 422, "The address belongs to another chain", "Name the chain that it belongs to, or get the payee's address on this one."},
	{AddressOffCurve, 422, "Nobody can sign for this Solana address", "It is a program's address: ask the payee for their wallet's address."},
	{AddressTokenAccount, 422, "The address is a token account", "Give the wallet that owns it; Settle finds or creates the token account."},
	{AddressForbidden, 422, "The address may not be paid", "It is the zero address, the token itself, a treasury, or a wallet that gave its token account away: correct it."},
	{AddressFrozen, 422, "The payee's token account is frozen", "The token's issuer has frozen it, nothing can be paid into it: ask the payee for another address."},
	{AddressBlocked, 422, "The operator forbids payments to the address", "Pay another address: a payment to this one is accepted and then rejected, with this as failure.code."},
	{DeadlinePast, 422, "The deadline has passed", "Give a time in the future, in RFC 3339, or leave it out."},
	{TimetableInvalid, 422, "The schedule's times cannot be followed", "Correct them as errors[].detail says: at in the future, or cron with five fields in a time zone."},
	{MetadataInvalid, 422, "The metadata does not fit", "Keep to 20 keys of 1 to 40 characters, with values of at most 500."},
	{LineMalformed, 422, "A line of the batch is not readable", "Correct it as errors[].detail says; files are UTF-8."},
	{ReferenceDuplicate, 422, "Another line of the batch has the same reference", "Give each line a reference of its own, or remove the line if it is there twice."},
	{BatchTooLong, 422, "The batch has more than 100,000 lines", "Split it."},
	{InsufficientFunds, 422, "The available balance does not cover the amount", "Add funds, or wait for held funds to be released, and repeat the request: the Idempotency-Key is still free."},
	{SponsoringNotOffered, 422, "The chain does not sponsor payments", "Use one on which payers' authorizations are submitted."},
	{AuthorizationMalformed, 422, "The authorization is not readable", "Send nonce and signature as the payer's wallet gave them."},
	{AuthorizationSignature, 422, "The signature is not the payer's of these terms", "Send exactly what was signed: payer, payee, amount, times, nonce, and the token's EIP-712 domain."},
	{AuthorizationWindow, 422, "The authorization's time does not fit", "Have the payer sign times as errors[].detail says."},
	{AuthorizationSpent, 422, "The authorization is used or canceled on chain", "Have the payer sign another nonce."},
	{AuthorizationRefused, 422, "The token refuses the authorization", "errors[].detail has the token's words: a payer or payee may be blocked, or the token paused."},
	{PayerBalance, 422, "The payer has less than the amount", "Repeat the request when the payer has it: the Idempotency-Key is still free."},
	{SponsorshipSpent, 422, "Your sponsorship of the day is spent", "It begins anew at midnight UTC: repeat the request then, or have the limit raised. The Idempotency-Key is still free."},
	{IdempotencyMismatch, 422, "The Idempotency-Key belongs to another request", "existing_id is what it made. Use a new key for a new payment."},
	{WebhookURLInvalid, 422, "The URL cannot be a webhook endpoint", "Use https, without user, password or fragment."},
	{WebhookURLRefused, 422, "Webhooks may not be sent to this address", "Use an address on the public internet, port 443."},

	{RateLimited, 429, "Too many requests", "Nothing was written: repeat the request after Retry-After seconds. RateLimit-Policy tells the quotas of the key and of the merchant, RateLimit what is left of them."},
	{StreamLimit, 429, "The API key has as many open streams as allowed", "Close one of its 20, or follow all payments with one stream, GET /v1/events/stream."},

	{InternalError, 500, "Something went wrong on our side", "Repeat the request with the same Idempotency-Key; if it persists, tell us the request_id."},

	{DestinationUnverified, 503, "The destination could not be checked just now", "Nothing was written: repeat the request after Retry-After seconds."},
	{SponsorFeeTooHigh, 503, "The network asks more than may be spent on a sponsored payment", "Nothing was written: repeat the request when the fee has fallen."},
	{BacklogFull, 503, "More payments are waiting than we take", "Nothing was written, and what was accepted is safe: repeat the request after Retry-After seconds, with the same Idempotency-Key."},
	{StreamsFull, 503, "This server has as many open streams as it serves", "Connect again after Retry-After seconds; until then read GET /v1/events."},
	{Unavailable, 503, "The service cannot answer just now", "Repeat the request after Retry-After seconds, with the same Idempotency-Key."},
}

var codeByName = func() map[Code]CodeInfo {
	m := make(map[Code]CodeInfo, len(codes))
	for _, c := range codes {
		m[c.Code] = c
	}
	return m
}()

// ErrorsMarkdown renders docs/errors.md.
func ErrorsMarkdown() string {
	var b strings.Builder
	b.WriteString("# Errors\n\n" +
		"Every error is `application/problem+json` (RFC 9457). `code` is stable and for programs, `detail` is for people,\n" +
		"`errors[]` names the fields, `request_id` is what to tell us. A request that is refused has written nothing.\n\n" +
		"<!-- Rendered from api/codes.go by `go test ./api -update`. -->\n")
	status := 0
	for _, c := range codes {
		if c.Status != status {
			status = c.Status
			fmt.Fprintf(&b, "\n## %d %s\n", status, http.StatusText(status))
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s. %s\n", c.Code, c.Title, c.Remedy)
	}
	return b.String()
}
