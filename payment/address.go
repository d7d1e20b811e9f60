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

// Answer is what a chain says to a question: yes, no, or unknown.
type Answer string

// Answers.
const (
	Yes     Answer = "yes"
	No      Answer = "no"
	Unknown Answer = "unknown"
)

// AnswerOf is yes or no.
func AnswerOf(yes bool) Answer {
	if yes {
		return Yes
	}
	return No
}

// AddressKind is what lives at an address.
type AddressKind string

// Kinds of address. A wallet is what somebody has the key of, as far as can be seen.
const (
	KindUnknown      AddressKind = "unknown"
	KindWallet       AddressKind = "wallet"
	KindContract     AddressKind = "contract"
	KindTokenAccount AddressKind = "token_account"
	KindMint         AddressKind = "mint"
	KindProgram      AddressKind = "program"
)

// Checksum is what the spelling of an address says about typing errors.
type Checksum string

// Checksums.
const (
	ChecksumValid   Checksum = "valid"   // EIP-55 capitals match
	ChecksumInvalid Checksum = "invalid" // they do not: it is mistyped
	ChecksumAbsent  Checksum = "absent"  // the spelling has none
)

// AddressFacts is what a chain knows about an address. What could not be found
// out is unknown.
type AddressFacts struct {
	Family       string        // of the chain: "evm", "solana"
	Canonical    string        // as payments name it; "" if it is no address of the chain
	Checksum     Checksum      //
	Kind         AddressKind   //
	Own          bool          // it is a treasury, a lane, or another account of ours
	OpensAccount Answer        // a payment opens a token account for it
	Frozen       Answer        // the token's issuer has frozen or blacklisted it
	Refusal      *AddressError // why it may not be paid; nil: nothing is known against it
	Unchecked    bool          // the chain did not answer, so that Refusal is not complete
}
