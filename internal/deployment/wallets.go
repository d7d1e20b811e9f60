package deployment

import "github.com/settlehq/settle/internal/faultproxy"

// wallets makes and funds treasuries and lanes on both chains and writes the
// files that Settle reads them from.
func (d *Deployment) wallets(o Options) (chainsFile, keysFile string) {
	t := d.t
	t.Helper()
	eth := d.Sandbox.Ethereum(t)
	newWallets := eth.NewWallets
	if o.DryLanes {
		newWallets = eth.NewDryWallets
	}
	ew := newWallets(t, o.EthereumLanes)
	solana := d.Sandbox.Descriptor.Solana
	sw := solana.NewWallets(t, o.SolanaLanes)
	d.EthereumTreasury, d.EthereumLanes, d.SolanaTreasury = ew.Treasury, ew.Lanes, sw.Treasury

	ethURLs, solURLs := []string{eth.HTTPURL}, []string{solana.HTTPURL}
	if o.Proxies > 0 {
		d.EthereumProxies, ethURLs = d.proxies(o.Proxies, eth.HTTPURL)
		d.SolanaProxies, solURLs = d.proxies(o.Proxies, solana.HTTPURL)
	}
	chains := []map[string]any{{
		"family": "evm", "name": "ethereum", "native_price": "3000.00",
		"chain_id": eth.ChainID, "rpc_urls": ethURLs, "token": eth.Ethereum.USDC, "multicall3": eth.Multicall3,
		"treasury": ew.Treasury, "lanes": ew.Lanes, "lane_in_flight": o.LaneInFlight,
		"poll_interval_ms": 500, "resend_after_ms": 4000, "finality_eta_ms": 6000,
	}, {
		"family": "solana", "name": "solana", "native_price": "150.00",
		"genesis_hash": solana.GenesisHash, "rpc_urls": solURLs, "mint": solana.USDCMint, "decimals": 6,
		"treasury": sw.Treasury, "lanes": sw.Lanes,
		"poll_interval_ms": 500, "resend_after_ms": 2000, "finality_eta_ms": 13000,
	}}
	if o.GuardAccounts {
		chains[1]["exclusive"], chains[1]["bump_after_ms"] = "guard", 1000
	}
	var keys []map[string]any
	for _, a := range append([]string{ew.Treasury}, ew.Lanes...) {
		keys = append(keys, map[string]any{"chain": "ethereum", "address": a, "type": "secp256k1", "secret": ew.Key(a)})
	}
	for _, a := range append([]string{sw.Treasury}, sw.Lanes...) {
		keys = append(keys, map[string]any{"chain": "solana", "address": a, "type": "ed25519", "secret": sw.SecretKey(a)})
	}
	return writeJSON(t, d.Dir, "chains.json", map[string]any{"chains": chains}), writeJSON(t, d.Dir, "keys.json", keys)
}

// proxies starts n fault proxies before one node.
func (d *Deployment) proxies(n int, upstream string) (all []*faultproxy.Proxy, urls []string) {
	d.t.Helper()
	for range n {
		p := faultproxy.Start(d.t, upstream)
		all, urls = append(all, p), append(urls, p.URL)
	}
	return all, urls
}
