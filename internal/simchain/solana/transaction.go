package solana

import (
	"errors"
	"fmt"

	bin "github.com/gagliardetto/binary"
	sol "github.com/gagliardetto/solana-go"
)

const maxTransaction = 1232 // bytes on the wire

// transaction is one whose form is sound.
type transaction struct {
	*sol.Transaction
	raw []byte
}

func decodeTransaction(raw []byte) (*transaction, error) {
	if len(raw) > maxTransaction {
		return nil, fmt.Errorf("transaction too large: %d bytes (max: %d bytes)", len(raw), maxTransaction)
	}
	decoder := bin.NewBinDecoder(raw)
	tx, err := sol.TransactionFromDecoder(decoder)
	if err != nil {
		return nil, err
	}
	m := tx.Message
	signers := int(m.Header.NumRequiredSignatures)
	switch {
	case decoder.HasRemaining():
		return nil, errors.New("bytes behind the transaction")
	case m.NumLookups() > 0:
		return nil, errors.New("address lookup tables are not simulated")
	case signers == 0, len(tx.Signatures) != signers, int(m.Header.NumReadonlySignedAccounts) >= signers,
		signers+int(m.Header.NumReadonlyUnsignedAccounts) > len(m.AccountKeys):
		return nil, errors.New("the header does not fit the accounts")
	}
	for _, x := range m.Instructions {
		if int(x.ProgramIDIndex) >= len(m.AccountKeys) {
			return nil, errors.New("program index out of range")
		}
		for _, i := range x.Accounts {
			if int(i) >= len(m.AccountKeys) {
				return nil, errors.New("account index out of range")
			}
		}
	}
	return &transaction{Transaction: tx, raw: raw}, nil
}

func (tx *transaction) signer(index int) bool {
	return index < int(tx.Message.Header.NumRequiredSignatures)
}

func (tx *transaction) writable(index int) bool {
	h := tx.Message.Header
	if tx.signer(index) {
		return index < int(h.NumRequiredSignatures-h.NumReadonlySignedAccounts)
	}
	return index < len(tx.Message.AccountKeys)-int(h.NumReadonlyUnsignedAccounts)
}

// accounts are those of one instruction.
func (tx *transaction) accounts(x sol.CompiledInstruction) []accountMeta {
	out := make([]accountMeta, len(x.Accounts))
	for i, index := range x.Accounts {
		out[i] = accountMeta{tx.Message.AccountKeys[index], tx.signer(int(index)), tx.writable(int(index))}
	}
	return out
}
