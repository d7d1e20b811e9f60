package evm

import (
	"math/big"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/payment"
)

// TestDecide has one line per way in which what nodes say may not be enough.
// Each line spoils a scan that would otherwise see a paid authorization.
func TestDecide(t *testing.T) {
	t.Parallel()
	valid := time.Unix(1000, 0)
	noLog := func(s *scan, l *look) { l.used, l.payer, s.heads.final.Timestamp = nil, nil, 1000 }
	for _, c := range []struct {
		name  string
		spoil func(*scan, *look)
		want  chains.SightingKind
	}{
		{"paid", func(*scan, *look) {}, chains.Paid},
		{"above the final block", func(s *scan, _ *look) { s.heads.final.Number = 9 }, chains.Included},
		{"receipt not there", func(_ *scan, l *look) { l.payer = nil }, chains.Unseen},
		{"receipt of another block than the log", func(_ *scan, l *look) { l.payer.BlockHash[0]++ }, chains.Unseen},
		{"block no longer canonical", func(s *scan, _ *look) { s.blocks[10].Hash[0]++ }, chains.Unseen},
		{"block not there", func(s *scan, _ *look) { s.blocks[10] = &header{} }, chains.Unseen},
		{"another amount", func(_ *scan, l *look) { l.payer.Logs[1].Data[31]++ }, chains.Unseen},
		{"another payee", func(_ *scan, l *look) { l.payer.Logs[1].Topics[2][31]++ }, chains.Unseen},
		{"another payer", func(_ *scan, l *look) { l.payer.Logs[1].Topics[1][31]++ }, chains.Unseen},
		{"another token", func(_ *scan, l *look) { l.payer.Logs[1].Address[0]++ }, chains.Unseen},
		{"no transfer", func(_ *scan, l *look) { l.payer.Logs = l.payer.Logs[:1] }, chains.Unseen},
		{"transfer not behind its authorization", func(_ *scan, l *look) {
			l.payer.Logs = []logEntry{l.payer.Logs[0], l.payer.Logs[0], l.payer.Logs[1]}
		}, chains.Unseen},
		{"expired, unused", func(s *scan, l *look) { noLog(s, l); l.state = new(bool) }, chains.Dead},
		{"expired, state not answered", noLog, chains.Unseen},
		{"expired, but used where we saw no log", func(s *scan, l *look) { noLog(s, l); used := true; l.state = &used }, chains.Unseen},
		{"a second before the end", func(s *scan, l *look) { noLog(s, l); l.state = new(bool); s.heads.final.Timestamp = 999 }, chains.Unseen},
		{"canceled", func(s *scan, l *look) { l.canceled = l.used; noLog(s, l) }, chains.Dead},
		{"canceled, not final", func(s *scan, l *look) { l.canceled = l.used; noLog(s, l); s.heads.final.Number = 9 }, chains.Unseen},
		{"canceled on a branch", func(s *scan, l *look) { l.canceled = l.used; noLog(s, l); s.blocks[10].Hash[0]++ }, chains.Unseen},
		{"reverted", func(_ *scan, l *look) { revert(l); l.txs = []*attempt{{receipt: l.payer}} }, chains.Reverted},
		{"reverted, another not seen", func(_ *scan, l *look) { revert(l); l.txs = []*attempt{{receipt: l.payer}, {}} }, chains.Unseen},
		{"reverted, not final", func(s *scan, l *look) { revert(l); l.txs = []*attempt{{receipt: l.payer}}; s.heads.final.Number = 9 }, chains.Unseen},
		{"reverted on a branch", func(s *scan, l *look) { revert(l); l.txs = []*attempt{{receipt: l.payer}}; s.blocks[10].Hash[0]++ }, chains.Unseen},
		{"sponsored, paid", sponsoredBy(func(*scan, *look) {}), chains.Paid},
		{"sponsored, nonce used for another amount", sponsoredBy(func(_ *scan, l *look) { l.payer.Logs[1].Data[31]++ }), chains.Dead},
		{"sponsored, nonce used for another payee", sponsoredBy(func(_ *scan, l *look) { l.payer.Logs[1].Topics[2][31]++ }), chains.Dead},
		{"sponsored, nonce used for another payee, not final", sponsoredBy(func(s *scan, l *look) { l.payer.Logs[1].Topics[2][31]++; s.heads.final.Number = 9 }), chains.Unseen},
		{"sponsored, nonce used for another payee on a branch", sponsoredBy(func(s *scan, l *look) { l.payer.Logs[1].Topics[2][31]++; s.blocks[10].Hash[0]++ }), chains.Unseen},
		{"sponsored, another payer's transfer", sponsoredBy(func(_ *scan, l *look) { l.payer.Logs[1].Topics[1][31]++ }), chains.Unseen},
		{"sponsored, no transfer", sponsoredBy(func(_ *scan, l *look) { l.payer.Logs = l.payer.Logs[:1] }), chains.Unseen},
		{"sponsored, paid early", sponsoredBy(func(s *scan, _ *look) {
			s.heads.final.Number = 9
			s.chain.set.paidEarlier = []earlier{{below: payment.Units(2_000_000), blocks: 1}}
		}), chains.Included},
		{"nothing known", func(_ *scan, l *look) { l.used, l.payer = nil, nil }, chains.Unseen},
		{"plain transfer paid", plain, chains.Paid},
		{"plain transfer twice in one transaction", func(s *scan, l *look) {
			plain(s, l)
			l.txs[0].receipt.Logs = append(l.txs[0].receipt.Logs, l.txs[0].receipt.Logs[1])
		}, chains.Unseen},
		{"plain transfer reverted", func(s *scan, l *look) { plain(s, l); l.txs[0].receipt.Status = 0; l.txs[0].receipt.Logs = nil }, chains.Reverted},
		{"plain transfer reverted, not final", func(s *scan, l *look) {
			plain(s, l)
			l.txs[0].receipt.Status, l.txs[0].receipt.Logs, s.heads.final.Number = 0, nil, 9
		}, chains.Unseen},
		{"nonce filled", filledNonce, chains.Dead},
		{"nonce filled, in vain", func(s *scan, l *look) { filledNonce(s, l); l.txs[1].receipt.Status = 0 }, chains.Dead},
		{"nonce filled, not final", func(s *scan, l *look) { filledNonce(s, l); s.heads.final.Number = 9 }, chains.Unseen},
		{"nonce filled on a branch", func(s *scan, l *look) { filledNonce(s, l); s.blocks[10].Hash[0]++ }, chains.Unseen},
		{"another nonce filled", func(s *scan, l *look) { filledNonce(s, l); l.slot.Nonce = "6" }, chains.Unseen},
		{"another lane's nonce filled", func(s *scan, l *look) { filledNonce(s, l); l.from[0]++ }, chains.Unseen},
		{"filled with a message", func(s *scan, l *look) {
			filledNonce(s, l)
			l.txs[1].tx = signedTx(types.DynamicFeeTx{Nonce: 5, To: &l.from, Data: []byte{1}})
		}, chains.Unseen},
	} {
		s, l := paidScan(valid)
		c.spoil(s, l)
		got := s.decide(l)
		if got.Kind != c.want {
			t.Errorf("%s: %+v, want %s", c.name, got, c.want)
		}
		if got.Kind.Final() && len(got.Proof) == 0 {
			t.Errorf("%s: %s without proof", c.name, got.Kind)
		}
		if got.Kind == chains.Paid && got.Fee.String() != "63" {
			t.Errorf("%s: fee %s, want 9 gas at 7 wei", c.name, got.Fee)
		}
	}
}

func revert(l *look) { l.used, l.payer.Status, l.payer.Logs = nil, 0, nil }

func plain(_ *scan, l *look) {
	l.slot.Kind, l.slot.Nonce = chains.SlotEVMNonce, "5"
	l.txs, l.used = []*attempt{{receipt: l.payer}}, nil
}

// filledNonce is a slot whose payment was outbid by a fill in block 10.
func filledNonce(s *scan, l *look) {
	s.chain.chainID = big.NewInt(1)
	l.slot.Kind, l.slot.Nonce, l.used = chains.SlotEVMNonce, "5", nil
	l.from = crypto.PubkeyToAddress(laneKey.PublicKey)
	l.payer.Logs = nil
	l.txs = []*attempt{{}, {tx: signedTx(types.DynamicFeeTx{Nonce: 5, To: &l.from}), receipt: l.payer}}
}

var laneKey, _ = crypto.ToECDSA(common.Hash{31: 1}.Bytes())

func signedTx(tx types.DynamicFeeTx) *types.Transaction {
	tx.ChainID = big.NewInt(1)
	return types.MustSignNewTx(laneKey, types.LatestSignerForChainID(tx.ChainID), &tx)
}

// sponsoredBy spoils the scan of a payment whose payer is not the treasury.
func sponsoredBy(spoil func(*scan, *look)) func(*scan, *look) {
	return func(s *scan, l *look) {
		s.chain.set.treasury = common.Address{99}
		spoil(s, l)
	}
}

// paidScan is a scan that read everything of a payment in block 10, which is
// final.
func paidScan(validBefore time.Time) (*scan, *look) {
	token, from, to := common.Address{1}, common.Address{2}, common.Address{3}
	nonce, block, tx := common.Hash{4}, common.Hash{5}, common.Hash{6}
	value := big.NewInt(1_000_000)
	used := logEntry{
		Address: token, Topics: []common.Hash{topicUsed, common.BytesToHash(from[:]), nonce},
		BlockHash: block, BlockNumber: 10, TxHash: tx, Index: 7,
	}
	transfer := logEntry{
		Address: token, Topics: []common.Hash{topicTransfer, common.BytesToHash(from[:]), common.BytesToHash(to[:])},
		Data: common.BigToHash(value).Bytes(), BlockHash: block, BlockNumber: 10, TxHash: tx, Index: 8,
	}
	s := &scan{
		chain:  &Chain{set: settings{token: token, treasury: from}},
		heads:  heads{latest: header{Number: 12}, final: header{Number: 10, Timestamp: 500}},
		blocks: map[hexutil.Uint64]*header{10: {Number: 10, Hash: block, Timestamp: 500}},
	}
	l := &look{
		slot: chains.Slot{Kind: chains.SlotEIP3009, Nonce: nonce.Hex(), ExpiresAt: &validBefore},
		from: from, to: to, value: value, nonce: nonce, used: &used,
		payer: &receipt{
			TxHash: tx, BlockHash: block, BlockNumber: 10, Status: 1, GasUsed: 9, GasPrice: (*hexutil.Big)(big.NewInt(7)),
			From: common.Address{9}, Logs: []logEntry{used, transfer},
		},
	}
	return s, l
}
