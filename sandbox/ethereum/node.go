package ethereum

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/eth/filters"
	"github.com/ethereum/go-ethereum/eth/tracers"
	_ "github.com/ethereum/go-ethereum/eth/tracers/native" // callTracer and friends
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/params"
	"github.com/ethereum/go-ethereum/rpc"
	"github.com/ethereum/go-ethereum/version"
)

// blockGas is mainnet's gas limit per block.
const blockGas = 60_000_000

// Run runs a node until ctx ends, then stops it gently. It calls ready once,
// when the endpoint answers and the contracts are deployed. The error is nil
// after a gentle stop.
func Run(ctx context.Context, cfg Config, ready func(Ready)) (err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return fmt.Errorf("ethereum sandbox: %w", err)
	}
	stack, backend, err := assemble(cfg)
	if err != nil {
		return fmt.Errorf("ethereum sandbox: %w", err)
	}
	defer func() { err = errors.Join(err, stack.Close()) }()

	chain := newBlocks(backend, cfg.Finality)
	operator := newOperator(backend, chain)
	stack.RegisterAPIs([]rpc.API{{Namespace: "sandbox", Service: &API{chain: chain, operator: operator}}})
	if err := stack.Start(); err != nil {
		return fmt.Errorf("ethereum sandbox: %w", err)
	}
	backend.SetSynced()
	deployed, err := operator.deploy(ctx)
	if err != nil {
		return fmt.Errorf("ethereum sandbox: deploy: %w", err)
	}
	ready(Ready{
		HTTPURL: stack.HTTPEndpoint(), WSURL: stack.WSEndpoint(), ChainID: ChainID,
		USDC: deployed.usdc.Hex(), Multicall3: deployed.multicall3.Hex(),
		Detail: describe(cfg),
	})
	return chain.run(ctx, cfg.BlockTime)
}

func describe(cfg Config) string {
	clock, where := "blocks on demand", "in memory"
	if cfg.BlockTime > 0 {
		clock = "a block every " + cfg.BlockTime.String()
	}
	if cfg.Dir != "" {
		where = "in " + cfg.Dir
	}
	return fmt.Sprintf("go-ethereum %d.%d.%d, %s, finalized %d behind, %s", version.Major, version.Minor, version.Patch, clock, cfg.Finality, where)
}

// assemble builds the node without starting it.
func assemble(cfg Config) (*node.Node, *eth.Ethereum, error) {
	modules := []string{"eth", "net", "web3", "txpool", "debug", "sandbox"}
	nodeConfig := node.DefaultConfig
	nodeConfig.Name = "settle-sandbox"
	nodeConfig.IPCPath = ""
	nodeConfig.P2P = p2p.Config{NoDiscovery: true, NoDial: true}
	nodeConfig.HTTPHost, nodeConfig.HTTPPort, nodeConfig.HTTPModules = "127.0.0.1", cfg.Port, modules
	nodeConfig.WSHost, nodeConfig.WSPort, nodeConfig.WSModules = "127.0.0.1", cfg.Port, modules
	nodeConfig.WSOrigins = []string{"*"}
	nodeConfig.BatchRequestLimit = 5000
	nodeConfig.DataDir = ""
	if cfg.Dir != "" {
		dir, err := filepath.Abs(cfg.Dir)
		if err != nil {
			return nil, nil, err
		}
		nodeConfig.DataDir = dir
	}
	stack, err := node.New(&nodeConfig)
	if err != nil {
		return nil, nil, err
	}
	backend, err := eth.New(stack, chainConfig(cfg))
	if err != nil {
		return nil, nil, errors.Join(err, stack.Close())
	}
	stack.RegisterAPIs(tracers.APIs(backend.APIBackend))
	logs := filters.NewFilterSystem(backend.APIBackend, filters.Config{})
	stack.RegisterAPIs([]rpc.API{{Namespace: "eth", Service: filters.NewFilterAPI(logs)}})
	return stack, backend, nil
}

func chainConfig(cfg Config) *ethconfig.Config {
	c := ethconfig.Defaults
	c.NetworkId = ChainID
	c.Genesis = genesis()
	c.SyncMode = ethconfig.FullSync
	c.DatabaseCache, c.TrieCleanCache, c.TrieDirtyCache, c.SnapshotCache = 64, 32, 64, 16
	c.Miner.GasCeil = blockGas
	c.Miner.GasPrice = big.NewInt(1)
	c.Miner.Recommit = 10 * time.Second // a slow machine still fills its blocks
	c.TxPool.NoLocals, c.TxPool.Journal, c.TxPool.PriceLimit = true, "", 1
	c.TxPool.AccountSlots, c.TxPool.AccountQueue = 4096, 4096 // room for load tests
	c.TxPool.GlobalSlots, c.TxPool.GlobalQueue = 65536, 16384
	if cfg.Dir != "" {
		// Write every block's state at once. Together with the sync in seal
		// this lets the chain survive a kill.
		c.NoPruning, c.StateScheme = true, "hash"
	}
	return &c
}

// genesis has mainnet's rules up to Osaka, and all ether with the operator.
func genesis() *core.Genesis {
	rules := *params.AllDevChainProtocolChanges
	rules.ChainID = big.NewInt(ChainID)
	rules.BogotaTime = nil
	rules.BlobScheduleConfig = &params.BlobScheduleConfig{
		Cancun: params.DefaultCancunBlobConfig,
		Prague: params.DefaultPragueBlobConfig,
	}
	g := core.DeveloperGenesisBlock(blockGas, nil)
	g.Config = &rules
	g.Alloc[operatorAddress] = types.Account{Balance: new(big.Int).Lsh(big.NewInt(1), 128)}
	return g
}
