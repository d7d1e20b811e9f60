package ethereum

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/txpool"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth"

	"github.com/settlehq/settle/sandbox/contracts"
)

// The operator deploys the contracts, owns the token and gives money away.
// Its key is public on purpose.
var (
	operatorKey, _  = crypto.ToECDSA(crypto.Keccak256([]byte("settle sandbox operator")))
	operatorAddress = crypto.PubkeyToAddress(operatorKey.PublicKey)
)

// The contracts are the operator's first two transactions, so their addresses
// are the same in every sandbox.
var addresses = deployment{
	usdc:       crypto.CreateAddress(operatorAddress, 0),
	multicall3: crypto.CreateAddress(operatorAddress, 1),
}

type deployment struct{ usdc, multicall3 common.Address }

// operator sends the operator's transactions, one nonce after the other.
type operator struct {
	eth   *eth.Ethereum
	chain *blocks
	usdc  *contracts.TestUSDC
	tip   atomic.Int64 // wei per gas that the miner asks for, see sandbox_setGasTip

	mu sync.Mutex // held from choosing a nonce to handing it to the pool
}

func newOperator(backend *eth.Ethereum, chain *blocks) *operator {
	return &operator{eth: backend, chain: chain, usdc: contracts.NewTestUSDC()}
}

// call is one transaction to be sent; to is nil to deploy data.
type call struct {
	to    *common.Address
	value *big.Int
	data  []byte
	gas   uint64
}

func (o *operator) deploy(ctx context.Context) (deployment, error) {
	state, err := o.eth.BlockChain().State()
	if err != nil {
		return deployment{}, err
	}
	if state.GetCodeSize(addresses.usdc) > 0 && state.GetCodeSize(addresses.multicall3) > 0 {
		return addresses, nil
	}
	if nonce := state.GetNonce(operatorAddress); nonce != 0 {
		return deployment{}, fmt.Errorf("the operator has sent %d transactions, but its contracts are not on this chain: remove the directory", nonce)
	}
	usdc := append(common.FromHex(contracts.TestUSDCMetaData.Bin), o.usdc.PackConstructor(operatorAddress)...)
	multicall := common.FromHex(contracts.Multicall3MetaData.Bin)
	return addresses, o.send(ctx, []call{{data: usdc, gas: 5_000_000}, {data: multicall, gas: 2_000_000}})
}

// send signs the calls, hands them to the pool and returns when all are in
// blocks. A transaction that the pool or a reorg loses is handed over again.
// A reverted one is an error.
func (o *operator) send(ctx context.Context, calls []call) error {
	txs, err := o.submit(calls)
	if err != nil {
		return err
	}
	for {
		upcoming := o.chain.upcoming()
		missing, err := o.missing(txs)
		if err != nil {
			return err
		}
		if len(missing) == 0 {
			return nil
		}
		if err := o.offer(missing); err != nil {
			return err
		}
		if err := o.chain.await(ctx, upcoming); err != nil {
			return fmt.Errorf("%d of %d transactions are not in a block: %w", len(missing), len(txs), err)
		}
	}
}

func (o *operator) submit(calls []call) ([]*types.Transaction, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	head := o.eth.BlockChain().CurrentBlock()
	tip := max(1_000_000_000, 2*o.tip.Load())
	feeCap := new(big.Int).Add(new(big.Int).Mul(head.BaseFee, big.NewInt(10)), big.NewInt(tip))
	txs, err := sign(calls, o.eth.TxPool().PoolNonce(operatorAddress), feeCap, big.NewInt(tip))
	if err != nil {
		return nil, err
	}
	return txs, o.offer(txs)
}

func sign(calls []call, nonce uint64, feeCap, tip *big.Int) ([]*types.Transaction, error) {
	signer := types.LatestSignerForChainID(big.NewInt(ChainID))
	txs := make([]*types.Transaction, len(calls))
	for i, c := range calls {
		tx, err := types.SignNewTx(operatorKey, signer, &types.DynamicFeeTx{
			ChainID: big.NewInt(ChainID), Nonce: nonce + uint64(i), GasTipCap: tip, GasFeeCap: feeCap,
			Gas: c.gas, To: c.to, Value: c.value, Data: c.data,
		})
		if err != nil {
			return nil, err
		}
		txs[i] = tx
	}
	return txs, nil
}

// fill is a block full of nothing: deployments of a contract that is invalid,
// each of which burns all its gas at once.
func (o *operator) fill(baseFee *big.Int) ([]*types.Transaction, error) {
	const parts = 4 // each below the most gas that one transaction may have
	state, err := o.eth.BlockChain().State()
	if err != nil {
		return nil, err
	}
	return sign(slices.Repeat([]call{{data: []byte{0xfe}, gas: blockGas / parts}}, parts), state.GetNonce(operatorAddress), baseFee, new(big.Int))
}

// offer hands transactions to the pool. Those that it has already are fine,
// and so are those that were mined in the meantime.
func (o *operator) offer(txs []*types.Transaction) error {
	for i, err := range o.eth.TxPool().Add(txs, true) {
		if err != nil && !errors.Is(err, txpool.ErrAlreadyKnown) && !errors.Is(err, core.ErrNonceTooLow) {
			return fmt.Errorf("nonce %d: %w", txs[i].Nonce(), err)
		}
	}
	return nil
}

// missing returns the transactions that are in no canonical block.
func (o *operator) missing(txs []*types.Transaction) ([]*types.Transaction, error) {
	chain := o.eth.BlockChain()
	var missing []*types.Transaction
	for _, tx := range txs {
		entry, _ := chain.GetCanonicalTransaction(tx.Hash())
		if entry == nil {
			missing = append(missing, tx)
			continue
		}
		receipts := chain.GetReceiptsByHash(entry.BlockHash)
		if entry.Index < uint64(len(receipts)) && receipts[entry.Index].Status == types.ReceiptStatusFailed {
			return nil, fmt.Errorf("transaction %s of the operator reverted", tx.Hash())
		}
	}
	return missing, nil
}
