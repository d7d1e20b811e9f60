package config

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/settlehq/settle/payment"
)

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// check validates what parsed. Each rule sees only settings that are used and
// have a value.
func (p *parser) check(c *Config, fields []setting) {
	used := make(map[string]bool)
	for _, f := range fields {
		used[f.name] = f.used
	}
	rule := func(name, value string, ok bool, problem, remedy string) {
		if used[name] && value != "" && !ok && !p.faulty(name) {
			p.fault(name, problem, p.show(name), remedy)
		}
	}
	rule("SETTLE_ENV", string(c.Environment), slices.Contains([]Environment{Production, Development, Test}, c.Environment),
		"is unknown", "use production, development or test")
	rule("SETTLE_LOG_LEVEL", c.LogLevel, slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel),
		"is unknown", "use debug, info, warn or error")
	rule("SETTLE_LOG_FORMAT", c.LogFormat, c.LogFormat == "json" || c.LogFormat == "console", "is unknown", "use json or console")
	rule("SETTLE_DATABASE_URL", c.DatabaseURL, isURL(c.DatabaseURL, "postgres", "postgresql"),
		"is not a PostgreSQL URL", "write it like postgres://user:password@host:5432/settle")
	rule("SETTLE_REDIS_URL", c.RedisURL, isURL(c.RedisURL, "redis", "rediss"), "is not a Redis URL", "write it like redis://host:6379/0")
	rule("SETTLE_TEMPORAL_ADDRESS", c.TemporalAddress, isHostPort(c.TemporalAddress), "is not host:port", "write it like 127.0.0.1:7233")
	rule("SETTLE_TEMPORAL_NAMESPACE", c.TemporalNamespace, plainName.MatchString(c.TemporalNamespace), "is not a name", "use letters, digits, dots, dashes and underscores")
	rule("SETTLE_TASK_QUEUE", c.TaskQueue, plainName.MatchString(c.TaskQueue), "is not a name", "use letters, digits, dots, dashes and underscores")
	rule("SETTLE_API_ADDRESS", c.APIAddress, isHostPort(c.APIAddress), "is not host:port", "write it like 127.0.0.1:8080, or 0.0.0.0:8080 for all interfaces")
	rule("SETTLE_ADMIN_ADDRESS", c.AdminAddress, isHostPort(c.AdminAddress), "is not host:port", "write it like 127.0.0.1:8081, and keep it from everybody but operators")
	p.checkPublicURL(c, used)
	p.checkKeyring("SETTLE_API_KEY_PEPPERS", c.APIKeyPeppers, c.Environment, func(n int) bool { return n >= 32 }, "32 bytes (64 hex digits) or more")
	p.checkKeyring("SETTLE_WEBHOOK_KEYS", c.WebhookKeys, c.Environment, func(n int) bool { return n == 32 }, "exactly 32 bytes (64 hex digits)")
	p.checkCIDRs(c)
	for name, n := range map[string]int{
		"SETTLE_WORKER_ACTIVITIES": c.WorkerActivities, "SETTLE_WORKER_LOCAL_ACTIVITIES": c.WorkerLocalActivities,
		"SETTLE_WORKER_WORKFLOW_TASKS": c.WorkerWorkflowTasks, "SETTLE_WORKER_POLLERS": c.WorkerPollers,
	} {
		rule(name, p.environ[name], n >= 2 && n <= 100_000, "is out of range", "use a number from 2 to 100000")
	}
	rule("SETTLE_RATE_LIMIT", p.environ["SETTLE_RATE_LIMIT"], c.RateLimit >= 0 && c.RateLimit <= 1_000_000, "is out of range", "use a number from 0 (no limit) to 1000000")
	rule("SETTLE_BATCH_WINDOW", p.environ["SETTLE_BATCH_WINDOW"], c.BatchWindow >= 1 && c.BatchWindow <= 10_000, "is out of range", "use a number from 1 to 10000")
	rule("SETTLE_MAX_BACKLOG", p.environ["SETTLE_MAX_BACKLOG"], c.MaxBacklog >= 0 && c.MaxBacklog <= 10_000_000, "is out of range", "use a number from 0 (no bound) to 10000000")
	rule("SETTLE_MAX_STREAMS", p.environ["SETTLE_MAX_STREAMS"], c.MaxStreams >= 1 && c.MaxStreams <= 100_000, "is out of range", "use a number from 1 to 100000")
	rule("SETTLE_WORKER_STOP_TIMEOUT", p.environ["SETTLE_WORKER_STOP_TIMEOUT"],
		c.WorkerStopTimeout >= time.Second && c.WorkerStopTimeout <= 10*time.Minute, "is out of range", "use 1s to 10m")
	rule("SETTLE_UPKEEP_EVERY", p.environ["SETTLE_UPKEEP_EVERY"],
		c.UpkeepEvery >= time.Second && c.UpkeepEvery <= 10*time.Minute, "is out of range", "use 1s to 10m")
	rule("SETTLE_STALLED_AFTER", p.environ["SETTLE_STALLED_AFTER"],
		c.StalledAfter >= leastStalled(c.Environment) && c.StalledAfter <= 24*time.Hour, "is out of range", "use 5m to 24h")
	if used["SETTLE_KEYS_FILE"] {
		p.checkFile("SETTLE_KEYS_FILE", c.KeysFile)
	}
	if used["SETTLE_CHAINS_FILE"] && p.checkFile("SETTLE_CHAINS_FILE", c.ChainsFile) {
		c.Chains = p.readChains(c.ChainsFile)
	}
}

// leastStalled is how soon a person may be asked about a payment that is in no
// block: outside of tests not before it could be outbid a few times.
func leastStalled(e Environment) time.Duration {
	if e == Test {
		return time.Second
	}
	return 5 * time.Minute
}

func (p *parser) checkPublicURL(c *Config, used map[string]bool) {
	const name = "SETTLE_PUBLIC_URL"
	if !used[name] {
		return
	}
	if c.PublicURL == "" {
		if c.Environment == Production {
			p.fault(name, "is missing", "", "set the https:// URL at which merchants reach the API; error documents link to it")
		}
		c.PublicURL = "http://" + c.APIAddress
		return
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	u, err := url.Parse(c.PublicURL)
	if err != nil || !isURL(c.PublicURL, "http", "https") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		p.fault(name, "is not a plain http(s) URL", p.show(name), "write it like https://api.example.com")
	} else if u.Scheme != "https" && c.Environment == Production {
		p.fault(name, "is not https", p.show(name), "use https, or SETTLE_ENV=development on your own machine")
	}
}

func (p *parser) checkKeyring(name string, k Keyring, e Environment, size func(int) bool, want string) {
	for _, key := range k {
		if !size(len(key.Key)) {
			p.fault(name, fmt.Sprintf("key %q has %d bytes", key.ID, len(key.Key)), "", "use "+want+"; openssl rand -hex 32 makes one")
		} else if e == Production && slices.Max(key.Key) == slices.Min(key.Key) {
			p.fault(name, fmt.Sprintf("key %q is one byte repeated", key.ID), "", "use random bytes; openssl rand -hex 32 makes them")
		}
	}
}

// checkCIDRs refuses in production the networks that only a test can mean:
// this machine, link-local (cloud metadata), and everything.
func (p *parser) checkCIDRs(c *Config) {
	if c.Environment != Production {
		return
	}
	for _, n := range c.WebhookAllowCIDRs {
		a := n.Addr().Unmap()
		if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || n.Bits() == 0 || n.Contains(netip.MustParseAddr("127.0.0.1")) || n.Contains(netip.IPv6Loopback()) {
			p.fault("SETTLE_WEBHOOK_ALLOW_CIDRS", "opens "+n.String()+" to webhooks", p.show("SETTLE_WEBHOOK_ALLOW_CIDRS"),
				"remove it; loopback, link-local and catch-all networks are for SETTLE_ENV=test")
		}
	}
}

func (p *parser) checkFile(name, path string) bool {
	if path == "" {
		return false
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		p.fault(name, "cannot be read", strconv.Quote(path), "name a file this process may read ("+reason(err)+")")
	case info.IsDir():
		p.fault(name, "is a directory", strconv.Quote(path), "name the file in it")
	default:
		return true
	}
	return false
}

func (p *parser) readChains(path string) []Chain {
	const name = "SETTLE_CHAINS_FILE"
	content, err := os.ReadFile(path)
	if err != nil {
		p.fault(name, "cannot be read", strconv.Quote(path), "name a file this process may read ("+reason(err)+")")
		return nil
	}
	var file struct {
		Chains []json.RawMessage `json:"chains"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		p.fault(name, "is not JSON: "+err.Error(), strconv.Quote(path), `write {"chains": [{"family": "evm", "name": "ethereum", ...}]}`)
		return nil
	}
	if len(file.Chains) == 0 {
		p.fault(name, "lists no chain", strconv.Quote(path), `add one to "chains"`)
	}
	var out []Chain
	for i, raw := range file.Chains {
		var head struct {
			Family string        `json:"family"`
			Name   payment.Chain `json:"name"`
		}
		where := fmt.Sprintf("entry %d ", i+1)
		switch err := json.Unmarshal(raw, &head); {
		case err != nil:
			p.fault(name, where+"is not an object", strconv.Quote(path), `write {"family": ..., "name": ...}`)
		case head.Family != "evm" && head.Family != "solana":
			p.fault(name, where+"has an unknown family", strconv.Quote(head.Family), "use evm or solana")
		case !plainName.MatchString(string(head.Name)):
			p.fault(name, where+"has no usable name", strconv.Quote(string(head.Name)), "name the chain, e.g. ethereum")
		case slices.ContainsFunc(out, func(c Chain) bool { return c.Name == head.Name }):
			p.fault(name, where+"repeats a name", strconv.Quote(string(head.Name)), "give each chain its own name")
		default:
			out = append(out, Chain{Name: head.Name, Family: head.Family, Raw: raw})
		}
	}
	return out
}

func isURL(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && slices.Contains(schemes, u.Scheme)
}

func isHostPort(s string) bool {
	_, port, err := net.SplitHostPort(s)
	n, nerr := strconv.Atoi(port)
	return err == nil && nerr == nil && n >= 0 && n <= 65535
}
