package payment

import "fmt"

// AuthorizationTerms are what a payer signed besides payee and amount (EIP-3009
// TransferWithAuthorization). Times are chain times, in seconds since 1970.
type AuthorizationTerms struct {
	From        string `json:"from" doc:"Payer, who signed: EIP-55 address" example:"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"`
	ValidAfter  int64  `json:"valid_after" doc:"Unix time in seconds; blocks must be later" example:"0"`
	ValidBefore int64  `json:"valid_before" doc:"Unix time in seconds; blocks must be earlier" example:"1795363200"`
	Nonce       string `json:"nonce" doc:"32 bytes, 0x and 64 hex digits; the payer's choice" example:"0x7f0f1b6f3a0f4e2ab0f5a8d1c2b3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5"`
}

// Authorization is a payer's own signed order to the token contract. A
// sponsored payment submits it; nothing else may move the payer's money.
type Authorization struct {
	AuthorizationTerms
	Signature string `json:"signature"` // 0x and 65 bytes: R || S || V, V 27 or 28
	OpenAt    uint64 `json:"open_at"`   // a finalized block in which it was unused; nothing of it is below
}

// AuthorizationError is a definite "no" to a payer's authorization. Code is
// stable and part of the API; Field names what is wrong, as AuthorizationTerms
// spell it, or "signature", "amount" or "chain".
type AuthorizationError struct {
	Code   string // one of the codes below
	Field  string
	Detail string // what is wrong and what to do
}

func (e *AuthorizationError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Detail) }

// Codes of AuthorizationError.
const (
	SponsoringNotOffered   = "sponsoring_not_offered"  // the chain's lanes pay for our own payments only
	AuthorizationMalformed = "authorization_malformed" // nonce or signature are not what they should be
	AuthorizationSignature = "authorization_signature" // not the payer's signature of these terms
	AuthorizationWindow    = "authorization_window"    // not valid yet, too short or too long
	AuthorizationSpent     = "authorization_spent"     // used or canceled on chain
	PayerBalance           = "payer_balance"           // the payer has less than the amount
	AuthorizationRefused   = "authorization_refused"   // the token refuses it when it is tried
	SponsorFeeTooHigh      = "sponsor_fee_too_high"    // the network asks more than may be spent now
)
