package sandbox

// Descriptor is what a running sandbox tells the world: where its parts
// listen and the keys that a client of a test network needs. It is written as
// JSON to <dir>/sandbox.json once every part is ready.
type Descriptor struct {
	PID      int                `json:"pid"` // of the supervisor
	Dir      string             `json:"dir"` // the sandbox's directory
	Postgres Postgres           `json:"postgres"`
	Temporal Temporal           `json:"temporal"`
	Redis    Redis              `json:"redis"`
	Ethereum Ethereum           `json:"ethereum"`
	Solana   Solana             `json:"solana"`
	Parts    map[string]PartRun `json:"parts"` // by part name: postgres, temporal, redis, ethereum, solana
}

// PartRun is one running child process of the sandbox.
type PartRun struct {
	PID    int    `json:"pid"`
	Log    string `json:"log"`    // path of its log
	Detail string `json:"detail"` // e.g. "PostgreSQL 15.18 from /usr/lib/postgresql/15/bin", "miniredis (embedded)"
}

// Postgres is a server on which URL's user may create databases.
type Postgres struct {
	URL string `json:"url"` // maintenance database, e.g. postgres://settle:...@127.0.0.1:5xxxx/postgres?sslmode=disable
}

// Temporal is a server with Settle's search attributes registered in Namespace.
type Temporal struct {
	Address   string `json:"address"` // host:port of the gRPC frontend
	Namespace string `json:"namespace"`
	UIURL     string `json:"ui_url"` // Web UI
}

// Redis may be a real server or an embedded one, see Parts["redis"].Detail.
type Redis struct {
	URL string `json:"url"`
}

// Ethereum is a go-ethereum node. Its JSON-RPC endpoint also serves the
// namespace "sandbox" with the test hooks that internal/sandbox wraps.
type Ethereum struct {
	HTTPURL    string `json:"http_url"`
	WSURL      string `json:"ws_url"`
	ChainID    uint64 `json:"chain_id"`
	USDC       string `json:"usdc"`       // test token, EIP-55 address
	Multicall3 string `json:"multicall3"` // aggregate3 ABI
}

// Solana is the litesvm sidecar. Its JSON-RPC endpoint also serves the test_*
// hooks that internal/sandbox wraps.
type Solana struct {
	HTTPURL       string `json:"http_url"`
	GenesisHash   string `json:"genesis_hash"` // base58; the CAIP-2 reference is its first 32 characters
	USDCMint      string `json:"usdc_mint"`
	MintAuthority string `json:"mint_authority"` // base58 secret key; may mint test USDC
}
