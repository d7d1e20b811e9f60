package payment

import "fmt"

// AddressError is a definite "no" to a destination. Code is stable and part
// of the API.
type AddressError struct {
	Code   string // one of the Address* codes
	Detail string // what is wrong and what to do
}

func (e *AddressError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Detail) }

// Codes of AddressError.
const (
	AddressMalformed    = "address_malformed"     // not an address of any chain
	AddressBadChecksum  = "address_bad_checksum"  // EIP-55 capitals do not match
	AddressWrongChain   = "address_wrong_chain"   // an address of another chain family
	AddressOffCurve     = "address_off_curve"     // a program-derived address nobody can sign for
	AddressTokenAccount = "address_token_account" // a token account instead of its owner
	AddressForbidden    = "address_forbidden"     // zero address, the token itself, our own treasury
	AddressFrozen       = "address_frozen"        // the token's issuer has frozen the payee's account
)
