package solana

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"

	sol "github.com/gagliardetto/solana-go"
)

const (
	lamportsPerSignature = 5000
	defaultUnits         = 200_000   // compute units that an instruction is taken to need
	maxUnits             = 1_400_000 // per transaction
)

// refusal is agave's TransactionError or InstructionError as its JSON shows it:
// a name, or an object with the name as its only key. nil is success.
type refusal any

func custom(code int) refusal { return map[string]int{"Custom": code} }

func instructionError(index int, r refusal) refusal {
	return map[string]any{"InstructionError": []any{index, r}}
}

func rentError(index int) refusal {
	return map[string]any{"InsufficientFundsForRent": map[string]int{"account_index": index}}
}

// record is a transaction in a block.
type record struct {
	tx        *transaction
	block     *block
	err       refusal
	fee       uint64                    // lamports
	price     uint64                    // micro-lamports per compute unit
	changed   map[sol.PublicKey]account // after it
	pre, post balances
}

// balances are what the accounts of a transaction hold, in their order.
type balances struct {
	lamports []uint64
	tokens   []tokenBalance
}

// tokenBalance is an entry of getTransaction's token balances.
type tokenBalance struct {
	AccountIndex int           `json:"accountIndex"`
	Mint         sol.PublicKey `json:"mint"`
	Owner        sol.PublicKey `json:"owner"`
	ProgramID    sol.PublicKey `json:"programId"`
	Amount       tokenAmount   `json:"uiTokenAmount"`
}

type tokenAmount struct {
	Amount   string `json:"amount"` // base units
	Decimals int    `json:"decimals"`
}

// bank is the state that a transaction works on: that of a block, under what
// the transaction has changed.
type bank struct {
	chain   *Chain
	height  uint64
	changed map[sol.PublicKey]account
}

func (b *bank) get(key sol.PublicKey) account {
	if a, ok := b.changed[key]; ok {
		return a
	}
	return b.chain.accountAt(key, b.height)
}

func (b *bank) balances(keys []sol.PublicKey) balances {
	out := balances{lamports: make([]uint64, len(keys)), tokens: []tokenBalance{}}
	for i, key := range keys {
		a := b.get(key)
		out.lamports[i] = a.lamports
		if t, ok := tokenOf(a); ok {
			out.tokens = append(out.tokens, tokenBalance{i, t.mint, t.owner, a.owner, tokenAmount{strconv.FormatUint(t.amount, 10), mintDecimals}})
		}
	}
	return out
}

// execute runs a transaction in a block of this height and changes nothing. The
// refusal is of a transaction that cannot be in such a block; one that fails
// can, and record.err tells.
func (c *Chain) execute(tx *transaction, height uint64) (*record, refusal) {
	if !c.takes(tx.Message.RecentBlockhash, height) {
		return nil, "BlockhashNotFound"
	}
	if r := c.records[tx.Signatures[0]]; r != nil && r.block.height <= height {
		return nil, "AlreadyProcessed"
	}
	keys := tx.Message.AccountKeys
	budget, refused := budgetOf(tx)
	if refused != nil {
		return nil, refused
	}
	b := &bank{chain: c, height: height, changed: map[sol.PublicKey]account{}}
	r := &record{tx: tx, fee: budget.fee(len(tx.Signatures)), price: budget.price, pre: b.balances(keys)}
	payer := b.get(keys[0])
	if refused := chargeFee(&payer, r.fee); refused != nil {
		return nil, refused
	}
	b.changed[keys[0]] = payer
	if r.err = b.run(tx); r.err != nil {
		b.changed = map[sol.PublicKey]account{keys[0]: payer} // nothing took effect but the fee
	}
	r.changed, r.post = b.changed, b.balances(keys)
	return r, nil
}

// chargeFee takes the fee from the payer, which must be an account of the
// system program and may not be left below what an account must hold.
func chargeFee(payer *account, fee uint64) refusal {
	switch {
	case payer.lamports == 0:
		return "AccountNotFound"
	case payer.owner != sol.SystemProgramID || len(payer.data) > 0:
		return "InvalidAccountForFee"
	case payer.lamports < fee:
		return "InsufficientFundsForFee"
	}
	payer.lamports -= fee
	if payer.lamports > 0 && payer.lamports < rentExempt(0) {
		return rentError(0)
	}
	return nil
}

// run executes the instructions in order, up to the first that fails.
func (b *bank) run(tx *transaction) refusal {
	for i, compiled := range tx.Message.Instructions {
		program, known := programs[tx.Message.AccountKeys[compiled.ProgramIDIndex]]
		if !known {
			return "ProgramAccountNotFound"
		}
		if refused := program(&instruction{bank: b, accounts: tx.accounts(compiled), data: compiled.Data}); refused != nil {
			return instructionError(i, refused)
		}
	}
	for i, key := range tx.Message.AccountKeys {
		a, changed := b.changed[key]
		if changed && a.lamports > 0 && a.lamports < rentExempt(len(a.data)) {
			return rentError(i)
		}
	}
	return nil
}

// budget is what the compute budget instructions ask for.
type budget struct {
	units uint64 // the limit
	price uint64 // micro-lamports per unit
}

// fee in lamports: for the signatures, and for the limit of units at the price,
// rounded up.
func (b budget) fee(signatures int) uint64 {
	high, low := bits.Mul64(b.units, b.price)
	if high > 0 || low > math.MaxUint64-999_999 {
		return math.MaxUint64
	}
	return uint64(signatures)*lamportsPerSignature + (low+999_999)/1_000_000
}

// budgetOf reads the compute budget instructions 2 (limit) and 3 (price). A
// transaction with others cannot land here.
func budgetOf(tx *transaction) (budget, refusal) {
	var b budget
	limited := false
	for i, compiled := range tx.Message.Instructions {
		if tx.Message.AccountKeys[compiled.ProgramIDIndex] != sol.ComputeBudget {
			if !limited {
				b.units += defaultUnits
			}
			continue
		}
		switch data := compiled.Data; {
		case len(data) == 5 && data[0] == 2:
			b.units, limited = uint64(binary.LittleEndian.Uint32(data[1:])), true
		case len(data) == 9 && data[0] == 3:
			b.price = binary.LittleEndian.Uint64(data[1:])
		default:
			return budget{}, instructionError(i, "InvalidInstructionData")
		}
	}
	b.units = min(b.units, maxUnits)
	return b, nil
}
