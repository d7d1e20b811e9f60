package solana

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	sol "github.com/gagliardetto/solana-go"
)

// programs is what the chain can execute, by program id. A further program is
// a further line.
var programs = map[sol.PublicKey]func(*instruction) refusal{
	sol.ComputeBudget:                      func(*instruction) refusal { return nil }, // budgetOf has read it
	sol.SystemProgramID:                    systemProgram,
	sol.SPLAssociatedTokenAccountProgramID: associatedTokenProgram,
	sol.TokenProgramID:                     tokenProgram,
	sol.MemoProgramID:                      memoProgram,
}

// instruction is one step of a transaction while it runs.
type instruction struct {
	bank     *bank
	accounts []accountMeta
	data     []byte
}

type accountMeta struct {
	key              sol.PublicKey
	signer, writable bool
}

func (x *instruction) get(index int) account { return x.bank.get(x.accounts[index].key) }

func (x *instruction) put(index int, a account) refusal {
	m := x.accounts[index]
	if !m.writable {
		if before := x.bank.get(m.key); before.lamports != a.lamports {
			return "ReadonlyLamportChange"
		}
		return "ReadonlyDataModified"
	}
	x.bank.changed[m.key] = a
	return nil
}

// Errors of the system program.
const notEnoughLamports = 1

// systemProgram knows Transfer (2): from, to.
func systemProgram(x *instruction) refusal {
	if len(x.data) != 12 || binary.LittleEndian.Uint32(x.data) != 2 {
		return "InvalidInstructionData"
	}
	if len(x.accounts) < 2 {
		return "NotEnoughAccountKeys"
	}
	return x.move(0, 1, binary.LittleEndian.Uint64(x.data[4:]))
}

// move transfers lamports from an account of the system program, which signs.
func (x *instruction) move(from, to int, lamports uint64) refusal {
	source := x.get(from)
	switch {
	case !x.accounts[from].signer:
		return "MissingRequiredSignature"
	case source.owner != sol.SystemProgramID || len(source.data) > 0:
		return "InvalidArgument"
	case source.lamports < lamports:
		return custom(notEnoughLamports)
	}
	source.lamports -= lamports
	if refused := x.put(from, source); refused != nil {
		return refused
	}
	target := x.get(to)
	target.lamports += lamports
	return x.put(to, target)
}

// associatedTokenProgram knows CreateIdempotent (1): payer, token account,
// owner, mint, system program, token program. The payer pays the rent, less
// what the address holds already.
func associatedTokenProgram(x *instruction) refusal {
	const payer, ata, owner, mint = 0, 1, 2, 3
	if !bytes.Equal(x.data, []byte{1}) {
		return "InvalidInstructionData"
	}
	if len(x.accounts) < 6 {
		return "NotEnoughAccountKeys"
	}
	wanted := token{mint: x.accounts[mint].key, owner: x.accounts[owner].key}
	if associated(wanted.owner, wanted.mint) != x.accounts[ata].key {
		return "InvalidSeeds"
	}
	if wanted.mint != x.bank.chain.genesis.Mint {
		return "InvalidAccountData"
	}
	there := x.get(ata)
	if is, ok := tokenOf(there); ok {
		if is.owner != wanted.owner || is.mint != wanted.mint {
			return "InvalidAccountData"
		}
		return nil
	}
	rent := rentExempt(tokenAccountSize)
	if there.lamports < rent {
		if refused := x.move(payer, ata, rent-there.lamports); refused != nil {
			return refused
		}
	}
	return x.put(ata, tokenAccount(wanted, max(there.lamports, rent)))
}

// Errors of the token program.
const (
	tooFewTokens      = 0x1
	mintMismatch      = 0x3
	ownerMismatch     = 0x4
	accountFrozen     = 0x11
	decimalsMismatch  = 0x12
	transferChecked   = 12
	transferCheckedIs = 10 // bytes: 12, amount, decimals
)

// tokenProgram knows TransferChecked: source, mint, destination, the source's
// owner.
func tokenProgram(x *instruction) refusal {
	const source, mint, destination, owner = 0, 1, 2, 3
	if len(x.data) != transferCheckedIs || x.data[0] != transferChecked {
		return "InvalidInstructionData"
	}
	if len(x.accounts) < 4 {
		return "NotEnoughAccountKeys"
	}
	units := binary.LittleEndian.Uint64(x.data[1:])
	from, okFrom := tokenOf(x.get(source))
	to, okTo := tokenOf(x.get(destination))
	switch {
	case !okFrom || !okTo:
		return "InvalidAccountData"
	case x.frozen(source) || x.frozen(destination):
		return custom(accountFrozen)
	case from.amount < units:
		return custom(tooFewTokens)
	case from.mint != to.mint || from.mint != x.accounts[mint].key:
		return custom(mintMismatch)
	case x.data[9] != mintDecimals:
		return custom(decimalsMismatch)
	case from.owner != x.accounts[owner].key:
		return custom(ownerMismatch)
	case !x.accounts[owner].signer:
		return "MissingRequiredSignature"
	case x.accounts[source].key == x.accounts[destination].key:
		return nil
	}
	from.amount -= units
	to.amount += units
	if refused := x.put(source, tokenAccount(from, x.get(source).lamports)); refused != nil {
		return refused
	}
	return x.put(destination, tokenAccount(to, x.get(destination).lamports))
}

func (x *instruction) frozen(index int) bool { return x.bank.chain.frozen[x.accounts[index].key] }

// memoProgram takes any text, if those who are named sign it.
func memoProgram(x *instruction) refusal {
	for _, m := range x.accounts {
		if !m.signer {
			return "MissingRequiredSignature"
		}
	}
	if !utf8.Valid(x.data) {
		return "InvalidInstructionData"
	}
	return nil
}
