package ethereum

import (
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// pooled is a transaction on its way, its sender known.
type pooled struct {
	*types.Transaction
	from common.Address
}

// pool is the transactions that somebody has and that are in no block, by
// sender and nonce. Rules and words are geth's.
type pool map[common.Address]map[uint64]pooled

// Limits of geth and of the protocol.
const (
	blockGas  = 60_000_000
	mostGas   = 16_777_216 // of one transaction (EIP-7825)
	leastTip  = 1          // wei per gas
	priceBump = 10         // percent
	feeCap    = 1e18       // wei that a transaction sent over RPC may cost
)

// decode reads the bytes of a transaction and recovers its sender.
func decode(raw []byte, signer types.Signer) (pooled, error) {
	tx := new(types.Transaction)
	if err := tx.UnmarshalBinary(raw); err != nil {
		return pooled{}, err
	}
	from, err := types.Sender(signer, tx)
	if err != nil {
		return pooled{}, fmt.Errorf("invalid sender: %w", err)
	}
	return pooled{tx, from}, nil
}

// add takes a transaction on top of a state, or says as geth does why not.
// Others of a full pool tip full wei per gas; 0 is a pool with room.
func (p pool) add(tx pooled, s *state, full *big.Int) error {
	p.forget(s)
	if old, ok := p[tx.from][tx.Nonce()]; ok && old.Hash() == tx.Hash() {
		return errors.New("already known")
	}
	if err := valid(tx); err != nil {
		return err
	}
	if err := p.affordable(tx, s.account(tx.from)); err != nil {
		return err
	}
	if tx.GasTipCapIntCmp(full) <= 0 {
		return errors.New("transaction underpriced")
	}
	if old, ok := p[tx.from][tx.Nonce()]; ok && !outbids(tx, old) {
		return errors.New("replacement transaction underpriced")
	}
	p.put(tx)
	return nil
}

// valid is what can be said without a state.
func valid(tx pooled) error {
	switch need := intrinsic(tx.Data()); {
	case tx.To() == nil:
		return errors.New("contract creation is not simulated")
	case new(big.Int).Mul(tx.GasFeeCap(), new(big.Int).SetUint64(tx.Gas())).Cmp(big.NewInt(feeCap)) > 0:
		return errors.New("tx fee exceeds the configured cap (1.00 ether)")
	case tx.Gas() > mostGas:
		return fmt.Errorf("transaction gas limit too high (cap: %d, tx: %d)", mostGas, tx.Gas())
	case tx.GasFeeCapIntCmp(tx.GasTipCap()) < 0:
		return errors.New("max priority fee per gas higher than max fee per gas")
	case tx.Gas() < need:
		return fmt.Errorf("intrinsic gas too low: gas %d, minimum needed %d", tx.Gas(), need)
	case tx.GasTipCapIntCmp(big.NewInt(leastTip)) < 0:
		return fmt.Errorf("transaction gas price below minimum: gas tip cap %v, minimum needed %d", tx.GasTipCap(), leastTip)
	}
	return nil
}

// intrinsic is the gas of a transaction before anything runs.
func intrinsic(data []byte) uint64 {
	gas := uint64(gasIntrinsic)
	for _, b := range data {
		if b == 0 {
			gas += 4
		} else {
			gas += 16
		}
	}
	return gas
}

func (p pool) affordable(tx pooled, sender Account) error {
	if sender.Nonce > tx.Nonce() {
		return fmt.Errorf("nonce too low: next nonce %d, tx nonce %d", sender.Nonce, tx.Nonce())
	}
	const poor = "insufficient funds for gas * price + value: balance %v, "
	cost := tx.Cost()
	if sender.Wei.Cmp(cost) < 0 {
		return fmt.Errorf(poor+"tx cost %v, overshot %v", sender.Wei, cost, new(big.Int).Sub(cost, sender.Wei))
	}
	queued := new(big.Int)
	for nonce := sender.Nonce; ; nonce++ { // executable ones only
		other, ok := p[tx.from][nonce]
		if !ok {
			break
		}
		if nonce != tx.Nonce() {
			queued.Add(queued, other.Cost())
		}
	}
	if need := new(big.Int).Add(queued, cost); sender.Wei.Cmp(need) < 0 {
		return fmt.Errorf(poor+"queued cost %v, tx cost %v, overshot %v", sender.Wei, queued, cost, new(big.Int).Sub(need, sender.Wei))
	}
	return nil
}

// outbids reports whether tx may replace old: both its tip and its cap must be
// 10 % higher, and higher at all.
func outbids(tx, old pooled) bool {
	bumped := func(n *big.Int) *big.Int {
		n = new(big.Int).Mul(n, big.NewInt(100+priceBump))
		return n.Div(n, big.NewInt(100))
	}
	return tx.GasFeeCapCmp(old.Transaction) > 0 && tx.GasTipCapCmp(old.Transaction) > 0 &&
		tx.GasFeeCapIntCmp(bumped(old.GasFeeCap())) >= 0 && tx.GasTipCapIntCmp(bumped(old.GasTipCap())) >= 0
}

func (p pool) put(tx pooled) {
	if p[tx.from] == nil {
		p[tx.from] = map[uint64]pooled{}
	}
	p[tx.from][tx.Nonce()] = tx
}

func (p pool) remove(tx pooled) {
	if old, ok := p[tx.from][tx.Nonce()]; ok && old.Hash() == tx.Hash() {
		delete(p[tx.from], tx.Nonce())
	}
}

// forget drops what a state has made impossible.
func (p pool) forget(s *state) {
	for from, txs := range p {
		next := s.account(from).Nonce
		maps.DeleteFunc(txs, func(nonce uint64, _ pooled) bool { return nonce < next })
		if len(txs) == 0 {
			delete(p, from)
		}
	}
}

// next is the nonce behind the transactions that may follow on a state.
func (p pool) next(a common.Address, s *state) uint64 {
	nonce := s.account(a).Nonce
	for {
		if _, ok := p[a][nonce]; !ok {
			return nonce
		}
		nonce++
	}
}

func (p pool) find(hash common.Hash) (pooled, bool) {
	for _, txs := range p {
		for _, tx := range txs {
			if tx.Hash() == hash {
				return tx, true
			}
		}
	}
	return pooled{}, false
}

// best is the transaction that goes into a block next: of the senders' next
// ones, without those in skip, the one that tips most and, among equals, that of
// the lowest sender.
func (p pool) best(s *state, baseFee *big.Int, skip map[common.Address]bool) (pooled, bool) {
	var ready []pooled
	for from, txs := range p {
		tx, ok := txs[s.account(from).Nonce]
		if ok && !skip[from] && tx.GasFeeCapIntCmp(baseFee) >= 0 {
			ready = append(ready, tx)
		}
	}
	if len(ready) == 0 {
		return pooled{}, false
	}
	return slices.MinFunc(ready, func(a, b pooled) int {
		if by := tip(b.Transaction, baseFee).Cmp(tip(a.Transaction, baseFee)); by != 0 {
			return by
		}
		return a.from.Cmp(b.from)
	}), true
}

// tip is what the builder gets per gas, in wei.
func tip(tx *types.Transaction, baseFee *big.Int) *big.Int {
	room := new(big.Int).Sub(tx.GasFeeCap(), baseFee)
	if room.Cmp(tx.GasTipCap()) > 0 {
		return tx.GasTipCap()
	}
	return room
}
