package temporal

import (
	"fmt"
	"net"
	"net/url"
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/primitives"
)

// NumHistoryShards is enough to keep every core of a small machine busy and few
// enough to cost nothing when idle. A database keeps the number of its first start.
const NumHistoryShards = 16

const (
	mainConns       = 20
	visibilityConns = 10
	clusterName     = "active"
)

// stores are Temporal's two databases on one PostgreSQL server.
type stores struct {
	main, visibility *config.SQL
}

func newStores(cfg Config) (stores, error) {
	u, err := url.Parse(cfg.PostgresURL)
	if err != nil {
		return stores{}, fmt.Errorf("postgres url: %w", err)
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "5432")
	}
	password, _ := u.User.Password()
	attributes := map[string]string{}
	if mode := u.Query().Get("sslmode"); mode != "" {
		attributes["sslmode"] = mode
	}
	db := func(name string, conns int) *config.SQL {
		return &config.SQL{
			PluginName:        postgresql.PluginNamePGX,
			ConnectProtocol:   "tcp",
			ConnectAddr:       host,
			ConnectAttributes: attributes,
			User:              u.User.Username(),
			Password:          password,
			DatabaseName:      name,
			MaxConns:          conns,
			MaxIdleConns:      conns,
			MaxConnLifetime:   time.Hour,
		}
	}
	return stores{main: db(cfg.DB, mainConns), visibility: db(cfg.VisibilityDB, visibilityConns)}, nil
}

// serverConfig describes a cluster of one process: static membership, no
// archival, no metrics endpoint.
func serverConfig(cfg Config, s stores) (*config.Config, map[primitives.ServiceName]static.Hosts) {
	ports := map[primitives.ServiceName]int{
		primitives.FrontendService: cfg.Frontend,
		primitives.HistoryService:  cfg.History,
		primitives.MatchingService: cfg.Matching,
		primitives.WorkerService:   cfg.Worker,
	}
	c := &config.Config{
		Services: map[string]config.Service{},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address(cfg.Frontend)},
			},
		},
	}
	c.Global.Membership.MaxJoinDuration = 30 * time.Second
	c.Global.Membership.BroadcastAddress = loopback
	c.Persistence = config.Persistence{
		DefaultStore:     "main",
		VisibilityStore:  "visibility",
		NumHistoryShards: NumHistoryShards,
		DataStores:       map[string]config.DataStore{"main": {SQL: s.main}, "visibility": {SQL: s.visibility}},
	}
	c.DCRedirectionPolicy.Policy = "noop"
	c.Archival.History.State = "disabled"
	c.Archival.Visibility.State = "disabled"
	c.NamespaceDefaults.Archival.History.State = "disabled"
	c.NamespaceDefaults.Archival.Visibility.State = "disabled"
	c.PublicClient.HostPort = address(cfg.Frontend)

	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, port := range ports {
		c.Services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: loopback}}
		hosts[name] = static.SingleLocalHost(address(port))
	}
	return c, hosts
}

// unlimited is more than one machine can do.
const unlimited = 1_000_000

// dynamicConfig lifts every limit that a benchmark or a crowd of parallel tests
// could meet, visibility's of ten queries per second first of all. Eager
// activities and eager workflow start keep their default, on.
func dynamicConfig(cfg Config) dynamicconfig.StaticClient {
	c := dynamicconfig.StaticClient{}
	for _, key := range []string{
		"frontend.rps",
		"frontend.namespaceRPS",
		"frontend.namespaceRPS.visibility",
		"frontend.namespaceCount",
		"frontend.persistenceMaxQPS",
		"history.rps",
		"history.persistenceMaxQPS",
		"matching.rps",
		"matching.persistenceMaxQPS",
		"worker.persistenceMaxQPS",
		"system.visibilityPersistenceMaxReadQPS",
		"system.visibilityPersistenceMaxWriteQPS",
	} {
		c[dynamicconfig.MakeKey(key)] = unlimited
	}
	if n := cfg.MatchingPartitions; n > 0 {
		c[dynamicconfig.MakeKey("matching.numTaskqueueReadPartitions")] = n
		c[dynamicconfig.MakeKey("matching.numTaskqueueWritePartitions")] = n
	}
	return c
}
