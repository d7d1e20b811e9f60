package main

import (
	"fmt"
	"math/big"
	"time"
)

// upset is something that a chain does to what it has accepted.
type upset struct {
	name string
	do   func(c *campaign)
}

// A fork of Solana goes deeper than the slots in which a payment is confirmed,
// and not down to the finalized block.
const solanaForkDepth = 25

// feeSpike is the base fee (wei per gas) to which a rush of others raises it. What
// was signed in quiet times offers a few gwei; the spike is below max_fee_gwei,
// and over after some 30 blocks.
var feeSpike = big.NewInt(50_000_000_000)

var upsets = []upset{
	{"Ethereum: blocks replaced, transactions kept", func(c *campaign) { c.sandbox.Ethereum(c.t).Reorg(c.t, 1+c.rng.IntN(c.plan.Depth), true) }},
	{"Ethereum: blocks replaced, transactions forgotten", func(c *campaign) { c.sandbox.Ethereum(c.t).Reorg(c.t, 1+c.rng.IntN(c.plan.Depth), false) }},
	{"Ethereum: mempool emptied", func(c *campaign) { c.sandbox.Ethereum(c.t).DropPool(c.t) }},
	{"Ethereum: base fee raised above what was offered", func(c *campaign) { c.sandbox.Ethereum(c.t).RaiseBaseFee(c.t, feeSpike) }},
	{"Solana: transactions dropped", func(c *campaign) { c.sandbox.Descriptor.Solana.DropNext(c.t, 1+c.rng.IntN(4)) }},
	{"Solana: fork abandoned", func(c *campaign) { c.sandbox.Descriptor.Solana.Fork(c.t, 1+c.rng.IntN(solanaForkDepth)) }},
	{"Solana: halted, waiting transactions lost", func(c *campaign) {
		s := c.sandbox.Descriptor.Solana
		s.Pause(c.t, true)
		c.pass(c.between(500*time.Millisecond, 2*time.Second))
		s.DropPending(c.t)
		s.Pause(c.t, false)
	}},
}

// chains upsets both chains, each kind in turn, under load.
func (c *campaign) chains() {
	for n := range c.plan.Upsets {
		c.pass(c.between(500*time.Millisecond, 2*time.Second))
		u := upsets[n%len(upsets)]
		u.do(c)
		c.upsets[u.name]++
	}
	c.say("chains: %s", fmt.Sprint(c.upsets))
}
