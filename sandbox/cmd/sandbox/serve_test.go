package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// TestServes checks what a client may expect the moment sandbox.json exists, and
// then kills one part after the other.
func TestServes(t *testing.T) {
	t.Parallel()
	s := startUp(t, tempDir(t), "--eth-block-time=200ms")
	d := s.descriptor()
	ctx := t.Context()

	// All of the following works at once, without waiting.
	if _, err := pgExec(ctx, d.Postgres.URL, "CREATE DATABASE mine"); err != nil {
		t.Fatalf("create a database: %v", err)
	}
	if err := startAndCount(ctx, d, "before"); err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{d.Temporal.UIURL, d.Temporal.UIURL + "/api/v1/namespaces/" + d.Temporal.Namespace} {
		if err := get(ctx, u); err != nil {
			t.Fatal(err)
		}
	}
	if err := pingRedis(ctx, d); err != nil {
		t.Fatal(err)
	}
	if err := rpc(ctx, d.Ethereum.HTTPURL, "eth_chainId"); err != nil {
		t.Fatal(err)
	}
	if err := rpc(ctx, d.Solana.HTTPURL, "getSlot"); err != nil {
		t.Fatal(err)
	}

	check := map[string]func(d descriptor) error{
		"postgres": func(d descriptor) error {
			_, err := pgExec(ctx, strings.Replace(d.Postgres.URL, "/postgres?", "/mine?", 1), "SELECT 1")
			return err
		},
		"temporal": func(d descriptor) error { return countWorkflow(ctx, d, "before") },
		"redis":    func(d descriptor) error { return pingRedis(ctx, d) },
		"ethereum": func(d descriptor) error { return rpc(ctx, d.Ethereum.HTTPURL, "eth_chainId") },
		"solana":   func(d descriptor) error { return rpc(ctx, d.Solana.HTTPURL, "getSlot") },
	}
	for name, answers := range check {
		below := descendants(t, d.Parts[name].PID)
		if err := syscall.Kill(d.Parts[name].PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		awaitGone(t, append(below, d.Parts[name].PID))
		s.await(name+" comes back on the same address with its data", func() error {
			now, err := s.read()
			if err != nil {
				return err
			}
			if now.Parts[name].PID == d.Parts[name].PID {
				return errors.New("not restarted yet")
			}
			if now.Postgres != d.Postgres || now.Temporal != d.Temporal || now.Redis != d.Redis ||
				now.Ethereum.HTTPURL != d.Ethereum.HTTPURL || now.Solana.HTTPURL != d.Solana.HTTPURL {
				t.Fatalf("addresses changed:\n%+v\n%+v", d, now)
			}
			return answers(now)
		})
	}
	// Temporal lived through the loss of its database.
	s.await("Temporal works after PostgreSQL was killed", func() error { return startAndCount(ctx, s.descriptor(), "after") })
	if code := s.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	ctx := t.Context()
	first := startUp(t, dir, core)
	before := first.descriptor()
	if _, err := pgExec(ctx, before.Postgres.URL, "CREATE TABLE kept AS SELECT 42 AS answer"); err != nil {
		t.Fatal(err)
	}
	if err := startAndCount(ctx, before, "kept"); err != nil {
		t.Fatal(err)
	}
	if code := first.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if err := absent(first.dir + "/sandbox.json"); err != nil {
		t.Error(err)
	}

	second := startUp(t, dir, core)
	after := second.descriptor()
	if after.Postgres != before.Postgres || after.Temporal != before.Temporal || after.Redis != before.Redis {
		t.Errorf("addresses changed:\n%+v\n%+v", before, after)
	}
	answer, err := pgExec(ctx, after.Postgres.URL, "SELECT answer FROM kept")
	if err != nil || answer != "42" {
		t.Errorf("the row is %q, %v", answer, err)
	}
	if err := countWorkflow(ctx, after, "kept"); err != nil {
		t.Error(err)
	}
}

// A server that somebody else runs is used and left as it was.
func TestUsesAGivenPostgres(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	theirs := startUp(t, tempDir(t), "--parts=postgres").descriptor().Postgres.URL
	s := startUp(t, tempDir(t), "SETTLE_POSTGRES_URL="+theirs, core, "--rm")
	d := s.descriptor()
	if d.Postgres.URL != theirs || !strings.Contains(d.Parts["postgres"].Detail, "SETTLE_POSTGRES_URL") {
		t.Errorf("it uses %s: %s", d.Postgres.URL, d.Parts["postgres"].Detail)
	}
	if err := startAndCount(ctx, d, "guest"); err != nil {
		t.Error(err)
	}
	count := "SELECT count(*) FROM pg_database WHERE datname LIKE 'settle_sandbox_%'"
	if n, err := pgExec(ctx, theirs, count); err != nil || n != "2" {
		t.Errorf("%s databases of the sandbox, %v", n, err)
	}
	s.stop()
	if n, err := pgExec(ctx, theirs, count); err != nil || n != "0" {
		t.Errorf("%s databases left, %v", n, err)
	}
}

// pgExec returns the first column of the first row, if there is one.
func pgExec(ctx context.Context, url, sql string) (string, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	value := ""
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return "", err
		}
		value = fmt.Sprint(values[0])
	}
	return value, rows.Err()
}

func startAndCount(ctx context.Context, d descriptor, merchant string) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: d.Temporal.Address, Namespace: d.Temporal.Namespace})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: "of-" + merchant, TaskQueue: "nobody-polls-this",
		TypedSearchAttributes: temporal.NewSearchAttributes(
			temporal.NewSearchAttributeKeyKeyword("PaymentStatus").ValueSet("created"),
			temporal.NewSearchAttributeKeyKeyword("PaymentChain").ValueSet("eip155:1337"),
			temporal.NewSearchAttributeKeyKeyword("MerchantId").ValueSet(merchant),
			temporal.NewSearchAttributeKeyInt64("AmountUnits").ValueSet(1_500_000),
		),
	}, "Payment")
	if err != nil {
		return fmt.Errorf("start a workflow: %w", err)
	}
	// Visibility is written a moment after the start.
	for ctx.Err() == nil {
		if err = countWorkflow(ctx, d, merchant); err == nil {
			return nil
		}
	}
	return err
}

func countWorkflow(ctx context.Context, d descriptor, merchant string) error {
	c, err := client.DialContext(ctx, client.Options{HostPort: d.Temporal.Address, Namespace: d.Temporal.Namespace})
	if err != nil {
		return err
	}
	defer c.Close()
	query := fmt.Sprintf("PaymentStatus = 'created' AND PaymentChain = 'eip155:1337' AND AmountUnits > 1000000 AND MerchantId = '%s'", merchant)
	n, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return err
	}
	if n.Count != 1 {
		return fmt.Errorf("%d workflows found by %s", n.Count, query)
	}
	return nil
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	return do(req)
}

func rpc(ctx context.Context, url, method string) error {
	body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":[]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return do(req)
}

func do(req *http.Request) error {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", req.Method, req.URL, resp.Status)
	}
	return nil
}

func pingRedis(ctx context.Context, d descriptor) error {
	u, err := url.Parse(d.Redis.URL)
	if err != nil {
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("*1\r\n$4\r\nPING\r\n")); err != nil {
		return err
	}
	var answer [5]byte
	if _, err := conn.Read(answer[:]); err != nil {
		return err
	}
	if string(answer[:]) != "+PONG" {
		return fmt.Errorf("redis answered %q", answer)
	}
	return nil
}
