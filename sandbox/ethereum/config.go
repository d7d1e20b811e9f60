package ethereum

import (
	"fmt"
	"time"
)

// Config of the node. The zero value is usable.
type Config struct {
	Dir       string        `json:"dir"`        // keeps the chain across restarts; "" is memory
	Port      int           `json:"port"`       // HTTP and WebSocket on 127.0.0.1; 0 is any free port
	BlockTime time.Duration `json:"block_time"` // 0 is 1 s; negative is no clock, blocks are made by sandbox_mine only
	Finality  int           `json:"finality"`   // blocks between head and finalized; 0 is 2
}

// ChainID of every sandbox, the one that development chains use.
const ChainID = 1337

func (c Config) withDefaults() (Config, error) {
	if c.BlockTime == 0 {
		c.BlockTime = time.Second
	}
	if c.Finality == 0 {
		c.Finality = 2
	}
	if c.Finality < 0 {
		return c, fmt.Errorf("finality is %d blocks: use 1 or more, or 0 for the default", c.Finality)
	}
	if c.Port < 0 || c.Port > 65535 {
		return c, fmt.Errorf("port is %d: use 0 for any free port, or 1 to 65535", c.Port)
	}
	return c, nil
}

// Ready tells where the running node listens and what is deployed on it.
type Ready struct {
	HTTPURL    string `json:"http_url"`
	WSURL      string `json:"ws_url"`
	ChainID    uint64 `json:"chain_id"`
	USDC       string `json:"usdc"`       // EIP-55 address of TestUSDC
	Multicall3 string `json:"multicall3"` // EIP-55 address
	Detail     string `json:"detail"`     // for people
}
