package settle_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/go/packages"
)

const module = "github.com/settlehq/settle/"

// may is the plan of the house: which rooms a room may import. telemetry is open to
// all but payment and client. A room not listed may be imported by cmd/settle and internal/ only. Tests are free.
var may = map[string][]string{
	"payment":    {},
	"routing":    {"payment"},
	"store":      {"payment"},
	"ledger":     {"payment", "store"},
	"treasury":   {"payment", "store"},
	"chains":     {"payment"},
	"webhooks":   {"payment", "store"},
	"migrations": {},
	"activities": {"payment", "routing", "store", "ledger", "treasury", "chains", "webhooks"},
	"workflows":  {"payment", "activities"},
	"worker":     {"payment", "workflows", "activities"},
	"api":        {"payment", "routing", "ledger", "treasury", "webhooks", "store", "workflows", "config"},
	"telemetry":  {},
	"config":     {"payment"},
	"client":     {},
}

func load(t *testing.T) []*packages.Package {
	t.Helper()
	pkgs, err := packages.Load(&packages.Config{Mode: packages.NeedName | packages.NeedImports | packages.NeedFiles, Dir: "."}, "./...")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pkgs {
		for _, e := range p.Errors {
			t.Errorf("%s: %v", p.PkgPath, e)
		}
	}
	return pkgs
}

// room is the top-level folder of a package of ours, "" for others.
func room(path string) string {
	rest, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

func TestImportsFollowThePlan(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		from := room(p.PkgPath)
		if from == "" || from == "cmd" || from == "internal" {
			continue
		}
		allowed, planned := may[from]
		if !planned {
			t.Errorf("%s: the room %q is not in the plan", p.PkgPath, from)
			continue
		}
		for path := range p.Imports {
			to := room(path)
			if to == "" || to == from || (to == "telemetry" && from != "payment" && from != "client") || slices.Contains(allowed, to) {
				continue
			}
			t.Errorf("%s imports %s: %s may import %v", p.PkgPath, path, from, allowed)
		}
	}
}

// TestChainFamiliesStayApart: what is particular to a chain family is known in
// its own package only.
func TestChainFamiliesStayApart(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		rest := strings.TrimPrefix(p.PkgPath, module)
		for path := range p.Imports {
			family := ""
			switch {
			case strings.HasPrefix(path, "github.com/ethereum/go-ethereum"), path == module+"chains/evm":
				family = "chains/evm"
			case strings.HasPrefix(path, "github.com/gagliardetto/"), path == module+"chains/solana":
				family = "chains/solana"
			default:
				continue
			}
			if strings.HasPrefix(rest, family) || strings.HasPrefix(rest, "cmd/") || strings.HasPrefix(rest, "internal/") {
				continue
			}
			t.Errorf("%s imports %s, which belongs to %s", p.PkgPath, path, family)
		}
	}
}

// TestWorkflowsDoNothingThemselves: no I/O, clock or randomness under
// workflows/; workflowcheck looks deeper, this looks at the doors.
func TestWorkflowsDoNothingThemselves(t *testing.T) {
	t.Parallel()
	forbidden := []string{"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand", "database/sql", "github.com/jackc/pgx", "go.uber.org/zap"}
	for _, p := range load(t) {
		if room(p.PkgPath) != "workflows" {
			continue
		}
		for path := range p.Imports {
			if slices.ContainsFunc(forbidden, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") }) {
				t.Errorf("%s imports %s", p.PkgPath, path)
			}
		}
	}
}

// TestEveryRoomStatesItsJob: each package has a doc.go.
func TestEveryRoomStatesItsJob(t *testing.T) {
	t.Parallel()
	for _, p := range load(t) {
		if len(p.GoFiles) == 0 || strings.HasSuffix(p.PkgPath, "/store/db") || strings.HasSuffix(p.PkgPath, "/fiattoken") || strings.HasSuffix(p.PkgPath, "/multicall3") {
			continue // generated, or tests only
		}
		dir := filepath.Dir(p.GoFiles[0])
		text, err := os.ReadFile(filepath.Join(dir, "doc.go"))
		if err != nil {
			t.Errorf("%s has no doc.go", p.PkgPath)
		} else if len(strings.Fields(string(text))) < 25 {
			t.Errorf("%s: doc.go says too little", p.PkgPath)
		}
	}
}

// TestTheCardIsKept: the packages and folders that the project is known by.
func TestTheCardIsKept(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range []string{"go.temporal.io/sdk ", "github.com/jackc/pgx/v5 ", "github.com/ethereum/go-ethereum ", "github.com/gagliardetto/solana-go ",
		"github.com/gin-gonic/gin ", "github.com/redis/go-redis/v9 ", "go.uber.org/zap "} {
		if i := strings.Index(string(mod), dep); i < 0 || strings.Contains(strings.SplitN(string(mod)[i:], "\n", 2)[0], "// indirect") {
			t.Errorf("go.mod does not require %sdirectly", dep)
		}
	}
	for _, path := range []string{"workflows", "activities", "api", "chains", "ledger", "worker", "migrations", "docker-compose.yml", "go.mod", "go.sum", "README.md"} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s is missing", path)
		}
	}
}
