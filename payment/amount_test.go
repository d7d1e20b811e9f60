package payment_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/settlehq/settle/payment"
)

const max256 = "115792089237316195423570985008687907853269984665640564039457584007913129639935"

func TestParseDecimal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in       string
		decimals int
		units    string
		err      error
	}{
		{"12.50", 6, "12500000", nil},
		{"0.000001", 6, "1", nil},
		{"1", 6, "1000000", nil},
		{"0", 6, "0", nil},
		{"007.5", 6, "7500000", nil},
		{"1.0000000", 6, "1000000", nil}, // more decimals, but only zeros
		{"1.0000001", 6, "", payment.ErrAmountPrecision},
		{"5", 0, "5", nil},
		{"5.0", 0, "5", nil},
		{"5.1", 0, "", payment.ErrAmountPrecision},
		{max256, 0, max256, nil},
		{max256, 1, "", payment.ErrAmountRange},
		{max256 + "0", 0, "", payment.ErrAmountRange},
		{"", 6, "", payment.ErrAmountSyntax},
		{".", 6, "", payment.ErrAmountSyntax},
		{".5", 6, "", payment.ErrAmountSyntax},
		{"5.", 6, "", payment.ErrAmountSyntax},
		{"1.2.3", 6, "", payment.ErrAmountSyntax},
		{"-1", 6, "", payment.ErrAmountSyntax},
		{"+1", 6, "", payment.ErrAmountSyntax},
		{"1e6", 6, "", payment.ErrAmountSyntax},
		{"1,000", 6, "", payment.ErrAmountSyntax},
		{" 1", 6, "", payment.ErrAmountSyntax},
		{"0x10", 6, "", payment.ErrAmountSyntax},
		{"NaN", 6, "", payment.ErrAmountSyntax},
		{"١", 6, "", payment.ErrAmountSyntax}, // a digit, but not ours
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			t.Parallel()
			got, err := payment.ParseDecimal(tt.in, tt.decimals)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if err == nil && got.String() != tt.units {
				t.Errorf("%s units, want %s", got, tt.units)
			}
		})
	}
}

func TestDecimal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		units    uint64
		decimals int
		want     string
	}{
		{0, 6, "0.000000"},
		{1, 6, "0.000001"},
		{999_999, 6, "0.999999"},
		{1_000_000, 6, "1.000000"},
		{12_500_000, 6, "12.500000"},
		{42, 0, "42"},
		{1, 18, "0.000000000000000001"},
	}
	for _, tt := range tests {
		if got := payment.Units(tt.units).Decimal(tt.decimals); got != tt.want {
			t.Errorf("%d with %d decimals: %s, want %s", tt.units, tt.decimals, got, tt.want)
		}
	}
}

// amounts draws from the whole range, and often from its ends.
func amounts() *rapid.Generator[payment.Amount] {
	return rapid.Custom(func(t *rapid.T) payment.Amount {
		limbs := rapid.SliceOfN(rapid.OneOf(rapid.Just(uint64(0)), rapid.Just(^uint64(0)), rapid.Uint64()), 4, 4).Draw(t, "limbs")
		n := new(big.Int)
		for _, l := range limbs {
			n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(l))
		}
		a, err := payment.ParseUnits(n.String())
		if err != nil {
			t.Fatal(err)
		}
		return a
	})
}

func bigOf(a payment.Amount) *big.Int {
	n, _ := new(big.Int).SetString(a.String(), 10)
	return n
}

// same fails unless (got, err) is what unbounded integers say: want, or
// ErrAmountRange where want is no amount.
func same(t *rapid.T, got payment.Amount, err error, want *big.Int) {
	if want.Sign() < 0 || want.BitLen() > 256 {
		if !errors.Is(err, payment.ErrAmountRange) {
			t.Fatalf("error %v where the result would be %s", err, want)
		}
		if !got.IsZero() {
			t.Fatalf("an error came with the amount %s", got)
		}
		return
	}
	if err != nil || bigOf(got).Cmp(want) != 0 {
		t.Fatalf("got %s, %v; want %s", got, err, want)
	}
}

func TestArithmeticIsExactOrRefused(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := amounts().Draw(t, "a"), amounts().Draw(t, "b"), amounts().Draw(t, "c")
		x, y, z := bigOf(a), bigOf(b), bigOf(c)

		sum, err := a.Add(b)
		same(t, sum, err, new(big.Int).Add(x, y))
		diff, err := a.Sub(b)
		same(t, diff, err, new(big.Int).Sub(x, y))
		if a.Cmp(b) != x.Cmp(y) {
			t.Fatalf("%s.Cmp(%s) = %d", a, b, a.Cmp(b))
		}
		scaled, err := a.MulDiv(b, c)
		if z.Sign() == 0 {
			same(t, scaled, err, big.NewInt(-1))
		} else {
			same(t, scaled, err, new(big.Int).Div(new(big.Int).Mul(x, y), z))
		}
	})
}

func TestTextIsLossless(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a := amounts().Draw(t, "a")
		decimals := rapid.IntRange(0, 30).Draw(t, "decimals")

		back, err := payment.ParseDecimal(a.Decimal(decimals), decimals)
		if err != nil || back != a {
			t.Fatalf("%s with %d decimals came back as %s, %v", a, decimals, back, err)
		}
		body, err := json.Marshal(a)
		if err != nil || string(body) != `"`+a.String()+`"` {
			t.Fatalf("JSON of %s: %s, %v", a, body, err)
		}
		var read payment.Amount
		if err := json.Unmarshal(body, &read); err != nil || read != a {
			t.Fatalf("%s came back from JSON as %s, %v", a, read, err)
		}
		value, err := a.Value()
		if err != nil {
			t.Fatal(err)
		}
		var scanned payment.Amount
		if err := scanned.Scan(value); err != nil || scanned != a {
			t.Fatalf("%s came back from SQL as %s, %v", a, scanned, err)
		}
		raw := a.Bytes32()
		if new(big.Int).SetBytes(raw[:]).Cmp(bigOf(a)) != 0 {
			t.Fatalf("%s as 32 bytes is %x", a, raw)
		}
	})
}

// Whatever text comes in, parsing gives a plain number back or an error.
func TestParseNeverInvents(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.StringMatching(`[0-9]{0,90}\.?[0-9]{0,20}`)).Draw(t, "in")
		a, err := payment.ParseDecimal(in, 6)
		if err != nil {
			if !a.IsZero() {
				t.Fatalf("%q: an error came with %s", in, a)
			}
			return
		}
		r, ok := new(big.Rat).SetString(in)
		if !ok || r.Mul(r, big.NewRat(1_000_000, 1)).Cmp(new(big.Rat).SetInt(bigOf(a))) != 0 {
			t.Fatalf("%q was read as %s", in, a)
		}
	})
}

func TestUnmarshalRefusesNumbers(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"5", "5.0", "null", `""`, `"-5"`, `"1e3"`, "[]"} {
		var a payment.Amount
		if err := json.Unmarshal([]byte(in), &a); !errors.Is(err, payment.ErrAmountSyntax) {
			t.Errorf("%s: error %v", in, err)
		}
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, src := range []any{"12", []byte("12"), int64(12)} {
		var a payment.Amount
		if err := a.Scan(src); err != nil || a != payment.Units(12) {
			t.Errorf("%T: %s, %v", src, a, err)
		}
	}
	for _, src := range []any{nil, 1.5, int64(-1), "1.5", strings.Repeat("9", 79)} {
		var a payment.Amount
		if err := a.Scan(src); err == nil {
			t.Errorf("%v was read as %s", src, a)
		}
	}
}

func TestUint64(t *testing.T) {
	t.Parallel()
	if n, ok := payment.Units(1 << 63).Uint64(); !ok || n != 1<<63 {
		t.Errorf("2^63 does not fit: %d, %v", n, ok)
	}
	tooLarge, err := payment.ParseUnits("18446744073709551616")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := tooLarge.Uint64(); ok {
		t.Error("2^64 fits")
	}
}

func TestAssetByCode(t *testing.T) {
	t.Parallel()
	for _, code := range payment.AssetCodes() {
		if a, ok := payment.AssetByCode(code); !ok || a.Code != code {
			t.Errorf("%s: %+v, %v", code, a, ok)
		}
	}
	if _, ok := payment.AssetByCode("usdc"); ok {
		t.Error("codes are not case-sensitive")
	}
}
