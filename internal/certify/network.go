package main

import (
	"time"

	"github.com/settlehq/settle/internal/faultproxy"
)

// network lets every fault last a while under load, with a worker's death in
// the middle of each. Sends fail at both nodes of a chain at once, so that no
// good node makes up for a bad one. A lie is told by one of the two: against
// all nodes lying together there is no defence.
func (c *campaign) network() {
	send := func(k faultproxy.Kind) [2]faultproxy.Fault {
		return [2]faultproxy.Fault{{Kind: k, Method: faultproxy.EthereumSend}, {Kind: k, Method: faultproxy.SolanaSend}}
	}
	always := func(f faultproxy.Fault) [2]faultproxy.Fault { return [2]faultproxy.Fault{f, f} }
	for _, x := range []struct {
		faults [2]faultproxy.Fault
		nodes  int
	}{
		{send(faultproxy.LostResponse), 2}, {send(faultproxy.LostHangUp), 2}, {send(faultproxy.Swallowed), 2},
		{send(faultproxy.RateLimited), 2}, {send(faultproxy.HangUp), 2}, {send(faultproxy.Hang), 2},
		{always(faultproxy.Fault{Kind: faultproxy.RateLimited, Skip: 1}), 2},
		{always(faultproxy.Fault{Kind: faultproxy.BadGateway, Skip: 1}), 2},
		{always(faultproxy.Fault{Kind: faultproxy.HangUp}), 1},
		{always(faultproxy.Fault{Kind: faultproxy.Slow, Delay: 700 * time.Millisecond}), 2},
		{always(faultproxy.Fault{Kind: faultproxy.Hang, Skip: 3}), 1},
		{always(faultproxy.Fault{Kind: faultproxy.Forgetful}), 1},
	} {
		c.suffer(x.faults, x.nodes)
	}
}

// suffer puts a fault before some nodes of both chains for a while.
func (c *campaign) suffer(faults [2]faultproxy.Fault, nodes int) {
	d := c.load.d
	for i := range nodes {
		d.EthereumProxies[i].Add(faults[0])
		d.SolanaProxies[i].Add(faults[1])
	}
	c.pass(c.plan.Fault / 2)
	c.killProcess("worker", d.Workers[c.rng.IntN(len(d.Workers))])
	c.pass(c.plan.Fault / 2)
	for i := range d.EthereumProxies {
		d.EthereumProxies[i].Clear()
		d.SolanaProxies[i].Clear()
	}
	where := faults[0].Method + " and " + faults[1].Method
	if faults[0].Method == "" {
		where = "everything"
	}
	c.say("network: %s at %s of %d nodes", faults[0].Kind, where, nodes)
}
