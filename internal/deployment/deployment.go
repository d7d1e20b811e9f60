package deployment

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/settlehq/settle/api"
	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/internal/faultproxy"
	"github.com/settlehq/settle/internal/sandbox"
	"github.com/settlehq/settle/ledger"
	"github.com/settlehq/settle/migrations"
	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
	"github.com/settlehq/settle/webhooks"
	"github.com/settlehq/settle/webhooks/receiver"
)

// Options of a deployment.
type Options struct {
	EthereumLanes int  // default 2
	DryLanes      bool // Ethereum lanes get no ether
	SolanaLanes   int  // default 1
	GuardAccounts bool // payments on Solana are exclusive by a guard account
	LaneInFlight  int  // unincluded transactions per Ethereum lane; default 16
	Workers       int  // default 1
	// ReviewAbove is the merchant's review limit in USDC base units; 0: none.
	ReviewAbove uint64
	// Deposit is what the merchant has, in USDC base units; default half of the treasuries.
	Deposit uint64
	// EventTypes that the receiver subscribes to; default the ends of a payment.
	EventTypes []string
	APIPort    int // default: free
	// SkipSolanaSlots makes the funding final at once; for a chain of one's own.
	SkipSolanaSlots bool
	// Proxies puts this many fault proxies before each chain's node; Settle then
	// sees as many nodes.
	Proxies int
	// Settings of all processes, as NAME=value, over the usual ones.
	Settings []string
	// Dir keeps settings, keys and logs; default a temporary directory.
	Dir string
}

// Deployment is a running Settle.
type Deployment struct {
	Sandbox    *sandbox.Sandbox
	Store      *store.Store
	Temporal   client.Client
	TaskQueue  string
	APIURL     string
	Key        string // of the merchant, sk_test_...
	MerchantID string
	// Treasuries, as their chains name them.
	EthereumTreasury, SolanaTreasury string
	EthereumLanes                    []string

	// What stands before the chains, with Options.Proxies.
	EthereumProxies, SolanaProxies []*faultproxy.Proxy

	Receiver   *receiver.Receiver
	ReceiverAt string // its URL
	Dir        string
	Binary     string // the settle binary
	API        *Process
	Workers    []*Process

	env []string
	t   sandbox.T
}

// The treasuries that the sandbox funds, in USDC base units.
const treasuryUSDC = 1_000_000_000_000

// Start brings everything up and waits until payments are accepted and
// chains observed. Everything stops when t ends.
func Start(t sandbox.T, s *sandbox.Sandbox, o Options) *Deployment {
	t.Helper()
	o = o.withDefaults(t)
	ctx := t.Context()
	d := &Deployment{Sandbox: s, Binary: Build(t), Dir: o.Dir, t: t, TaskQueue: s.TaskQueue(t), Temporal: s.Temporal(t)}
	databaseURL := s.Database(t)
	st, err := store.Open(ctx, databaseURL)
	must(t, err)
	t.Cleanup(st.Close)
	d.Store = st

	peppers, sealing := newKey(t), newKey(t)
	chainsFile, keysFile := d.wallets(o)
	apiAddress := fmt.Sprintf("127.0.0.1:%d", o.APIPort)
	if o.APIPort == 0 {
		apiAddress = FreeAddress(t)
	}
	d.APIURL = "http://" + apiAddress
	d.env = []string{
		"SETTLE_ENV=test", "SETTLE_UPKEEP_EVERY=5s", "SETTLE_LOG_LEVEL=info", "SETTLE_RATE_LIMIT=0", "GOGC=400",
		"SETTLE_DATABASE_URL=" + databaseURL,
		"SETTLE_TEMPORAL_ADDRESS=" + s.Descriptor.Temporal.Address, "SETTLE_TEMPORAL_NAMESPACE=" + s.Descriptor.Temporal.Namespace,
		"SETTLE_TASK_QUEUE=" + d.TaskQueue, "SETTLE_API_ADDRESS=" + apiAddress, "SETTLE_PUBLIC_URL=" + d.APIURL,
		"SETTLE_REDIS_URL=" + s.Descriptor.Redis.URL,
		"SETTLE_CHAINS_FILE=" + chainsFile, "SETTLE_KEYS_FILE=" + keysFile,
		"SETTLE_API_KEY_PEPPERS=p1:" + peppers, "SETTLE_WEBHOOK_KEYS=w1:" + sealing,
		"SETTLE_WEBHOOK_ALLOW_CIDRS=127.0.0.0/8", "SETTLE_STOP_ON_EOF=1",
		"SETTLE_API_URL=" + d.APIURL,
	}
	d.env = append(d.env, o.Settings...)
	d.merchant(o, peppers, sealing)
	d.writeEnv()
	if o.SkipSolanaSlots {
		s.Descriptor.Solana.AdvanceSlots(t, 40)
	}
	d.AwaitFinality(t)
	d.Run(t, "books", "open")

	t.Cleanup(d.unschedule) // after the workers have stopped
	d.API = d.process("api")
	for i := range o.Workers {
		d.Workers = append(d.Workers, d.process("worker", fmt.Sprint(i+1)))
	}
	d.API.Start()
	for _, w := range d.Workers {
		w.Start()
	}
	d.awaitReady()
	return d
}

func (o Options) withDefaults(t sandbox.T) Options {
	for field, value := range map[*int]int{&o.EthereumLanes: 2, &o.SolanaLanes: 1, &o.LaneInFlight: 16, &o.Workers: 1} {
		if *field == 0 {
			*field = value
		}
	}
	if o.Deposit == 0 {
		o.Deposit = treasuryUSDC / 2
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	return o
}

// unschedule removes the schedules of the upkeep, which would go on without end.
func (d *Deployment) unschedule() {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace) // t's is over
	defer cancel()
	for _, id := range []string{"restart-" + d.TaskQueue, "upkeep-" + d.TaskQueue + "-ethereum", "upkeep-" + d.TaskQueue + "-solana"} {
		_ = d.Temporal.ScheduleClient().GetHandle(ctx, id).Delete(ctx) // a worker that never ran made none
	}
}

// EnvFile is a shell file with the settings, for commands typed beside the deployment.
func (d *Deployment) EnvFile() string { return filepath.Join(d.Dir, "settle.env") }

func (d *Deployment) writeEnv() {
	d.t.Helper()
	lines := append([]string{"TEMPORAL_ADDRESS=" + d.Sandbox.Descriptor.Temporal.Address, "TEMPORAL_NAMESPACE=" + d.Sandbox.Descriptor.Temporal.Namespace}, d.env...)
	text := ""
	for _, l := range lines {
		if name, value, _ := strings.Cut(l, "="); name != "SETTLE_STOP_ON_EOF" {
			text += fmt.Sprintf("export %s='%s'\n", name, value)
		}
	}
	must(d.t, os.WriteFile(d.EnvFile(), []byte(text), 0o600))
}

// merchant creates the merchant with its money, key and webhook endpoint.
func (d *Deployment) merchant(o Options, pepper, sealing string) {
	t, ctx := d.t, d.t.Context()
	t.Helper()
	var review *payment.Amount
	if o.ReviewAbove > 0 {
		a := payment.Units(o.ReviewAbove)
		review = &a
	}
	must(t, d.Store.Tx(ctx, func(ctx context.Context, tx *store.Tx) error {
		m, err := tx.CreateMerchant(ctx, store.Merchant{Name: "Demo Merchant", ReviewAbove: review})
		if err != nil {
			return err
		}
		d.MerchantID = m.ID
		return ledger.Deposit(ctx, tx, "deposit:opening", ledger.Holder{MerchantID: m.ID, Mode: payment.Test}, "ethereum", payment.USDC, payment.Units(o.Deposit), time.Now())
	}))
	pepperBytes, _ := hex.DecodeString(pepper)
	key, err := api.IssueKey(ctx, d.Store, config.Keyring{{ID: "p1", Key: pepperBytes}}, api.KeyRequest{MerchantID: d.MerchantID, Mode: payment.Test, Name: "deployment", Actor: "deployment"})
	must(t, err)
	d.Key = key.Text
	d.env = append(d.env, "SETTLE_API_KEY="+d.Key)

	sealingBytes, _ := hex.DecodeString(sealing)
	sealer, err := webhooks.NewSealer("w1", map[string][]byte{"w1": sealingBytes})
	must(t, err)
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	d.ReceiverAt = server.URL + "/webhooks"
	guard := webhooks.Guard{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	_, secret, err := webhooks.CreateEndpoint(ctx, d.Store, sealer, guard, webhooks.NewEndpoint{
		MerchantID: d.MerchantID, Mode: payment.Test, URL: d.ReceiverAt, EventTypes: o.EventTypes})
	must(t, err)
	d.Receiver, err = receiver.New(secret)
	must(t, err)
	handler = d.Receiver
}

// Migrations applies Settle's schema; pass it to sandbox.WithMigrations.
func Migrations(ctx context.Context, url string) error {
	_, err := migrations.Up(ctx, url)
	return err
}

func must(t sandbox.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("deployment: %v", err)
	}
}

func newKey(t sandbox.T) string {
	b := make([]byte, 32)
	_, err := rand.Read(b)
	must(t, err)
	return hex.EncodeToString(b)
}

// FreeAddress is an address to listen on that is free now, below the ports that
// connections get, so that it is free a moment later too.
func FreeAddress(t sandbox.T) string {
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+mathrand.IntN(20_000)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		must(t, err)
		must(t, l.Close())
		return l.Addr().String()
	}
}

// writeJSON writes a file that only its owner may read.
func writeJSON(t sandbox.T, dir, name string, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	must(t, err)
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, b, 0o600))
	return path
}

// awaitReady waits until the API answers and every chain can be routed to.
func (d *Deployment) awaitReady() {
	d.t.Helper()
	deadline := time.Now().Add(time.Minute)
	var last string
	for time.Now().Before(deadline) {
		resp, err := http.Get(d.APIURL + "/ready")
		if err == nil {
			var b strings.Builder
			_ = resp.Write(&b)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			last = b.String()
		} else {
			last = err.Error()
		}
		for _, p := range append([]*Process{d.API}, d.Workers...) {
			if err := p.Exited(); err != nil {
				d.t.Fatalf("deployment: %s", err)
			}
		}
		if d.t.Context().Err() != nil {
			break
		}
		pause(d.t.Context(), 50*time.Millisecond)
	}
	d.t.Fatalf("deployment: not ready: %s", last)
}
