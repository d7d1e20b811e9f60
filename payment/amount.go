package payment

import (
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/holiman/uint256"
)

// Errors of parsing and arithmetic. They are wrapped with the offending value.
var (
	ErrAmountSyntax    = errors.New("amount is not a plain decimal number")
	ErrAmountPrecision = errors.New("amount has more decimals than the asset")
	ErrAmountRange     = errors.New("amount is out of range")
)

// Amount is a non-negative number of base units (for USDC: 10^-6 dollars, for
// ETH: wei, for SOL: lamports), at most 2^256-1. The zero value is 0.
type Amount struct{ units uint256.Int }

// Units returns the amount of n base units.
func Units(n uint64) Amount {
	var a Amount
	a.units.SetUint64(n)
	return a
}

// ParseUnits reads base units written in decimal digits, without sign, point
// or exponent.
func ParseUnits(s string) (Amount, error) {
	if !digits(s) {
		return Amount{}, fmt.Errorf("%w: %q", ErrAmountSyntax, s)
	}
	var a Amount
	if err := a.units.SetFromDecimal(s); err != nil {
		return Amount{}, fmt.Errorf("%w: %q", ErrAmountRange, s)
	}
	return a, nil
}

// ParseDecimal reads a decimal string such as "12.50" into base units of an
// asset with the given number of decimals. More decimals than the asset has
// are refused rather than rounded, unless they are zeros.
func ParseDecimal(s string, decimals int) (Amount, error) {
	whole, frac, pointed := strings.Cut(s, ".")
	if !digits(whole) || (pointed && !digits(frac)) {
		return Amount{}, fmt.Errorf("%w: %q", ErrAmountSyntax, s)
	}
	if len(frac) > decimals {
		if strings.Trim(frac[decimals:], "0") != "" {
			return Amount{}, fmt.Errorf("%w: %q, at most %d", ErrAmountPrecision, s, decimals)
		}
		frac = frac[:decimals]
	}
	return ParseUnits(whole + frac + strings.Repeat("0", decimals-len(frac)))
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// Decimal writes the amount for people and for the API: always with the
// asset's full number of decimals, e.g. "12.500000".
func (a Amount) Decimal(decimals int) string {
	s := a.units.Dec()
	if decimals == 0 {
		return s
	}
	if len(s) <= decimals {
		s = strings.Repeat("0", decimals-len(s)+1) + s
	}
	return s[:len(s)-decimals] + "." + s[len(s)-decimals:]
}

// String writes base units in decimal digits.
func (a Amount) String() string { return a.units.Dec() }

// Add returns a+b, or ErrAmountRange above 2^256-1.
func (a Amount) Add(b Amount) (Amount, error) {
	var sum Amount
	if _, overflow := sum.units.AddOverflow(&a.units, &b.units); overflow {
		return Amount{}, fmt.Errorf("%w: %s + %s", ErrAmountRange, a, b)
	}
	return sum, nil
}

// Sub returns a-b, or ErrAmountRange if b is larger than a.
func (a Amount) Sub(b Amount) (Amount, error) {
	var diff Amount
	if _, underflow := diff.units.SubOverflow(&a.units, &b.units); underflow {
		return Amount{}, fmt.Errorf("%w: %s - %s", ErrAmountRange, a, b)
	}
	return diff, nil
}

// Cmp compares a with b: -1, 0 or 1.
func (a Amount) Cmp(b Amount) int { return a.units.Cmp(&b.units) }

// IsZero reports whether the amount is 0.
func (a Amount) IsZero() bool { return a.units.IsZero() }

// Uint64 returns the amount as uint64; ok is false if it does not fit, as wei
// amounts above 18.4 ETH do not.
func (a Amount) Uint64() (n uint64, ok bool) {
	return a.units.Uint64(), a.units.IsUint64()
}

// Bytes32 returns the big-endian 256-bit form that EVM calldata uses.
func (a Amount) Bytes32() [32]byte { return a.units.Bytes32() }

// MarshalJSON writes base units as a JSON string, since JSON numbers lose
// integers above 2^53.
func (a Amount) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Amount) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: %s", ErrAmountSyntax, b)
	}
	parsed, err := ParseUnits(s)
	*a = parsed
	return err
}

// Scan reads a Postgres numeric.
func (a *Amount) Scan(src any) error {
	var s string
	switch v := src.(type) {
	case string:
		s = v
	case []byte:
		s = string(v)
	case int64:
		s = fmt.Sprint(v)
	default:
		return fmt.Errorf("%w: cannot scan %T", ErrAmountSyntax, src)
	}
	parsed, err := ParseUnits(s)
	*a = parsed
	return err
}

// Value writes a Postgres numeric.
func (a Amount) Value() (driver.Value, error) { return a.String(), nil }

// MulDiv returns a*b/c rounded down, without overflow in between; it is used
// to convert gas into the payout asset. ErrAmountRange if c is 0 or the
// result does not fit.
func (a Amount) MulDiv(b, c Amount) (Amount, error) {
	if c.IsZero() {
		return Amount{}, fmt.Errorf("%w: division by zero", ErrAmountRange)
	}
	var out Amount
	if _, overflow := out.units.MulDivOverflow(&a.units, &b.units, &c.units); overflow {
		return Amount{}, fmt.Errorf("%w: %s * %s / %s", ErrAmountRange, a, b, c)
	}
	return out, nil
}

// Asset is a token that can be paid out. Code is its name in the API, on
// every chain; Decimals is the exponent of its base unit.
type Asset struct {
	Code     string
	Decimals int
}

// USDC has 6 decimals on every chain that Settle pays on.
var USDC = Asset{Code: "USDC", Decimals: 6}

var assets = []Asset{USDC}

// AssetByCode finds an asset by its API code, case-sensitively.
func AssetByCode(code string) (Asset, bool) {
	for _, a := range assets {
		if a.Code == code {
			return a, true
		}
	}
	return Asset{}, false
}

// AssetCodes lists the codes that AssetByCode knows.
func AssetCodes() []string {
	codes := make([]string, len(assets))
	for i, a := range assets {
		codes[i] = a.Code
	}
	return codes
}
