package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/client"
)

// Bounds of the batch commands.
const (
	batchEvery    = time.Second     // between two looks at a batch
	batchTransfer = 6 * time.Minute // for a whole file
	batchPage     = 100             // lines
	barWidth      = 30
)

func batchCommand() *cobra.Command {
	return group("batch", "Pay many at once, from a file", submitCommand(), getBatchCommand(), batchLinesCommand(), batchErrorsCommand(),
		startBatchCommand(), cancelBatchCommand())
}

// settledLines is how many lines will not change any more.
func settledLines(b client.Batch) (n int64) {
	for _, p := range b.Progress {
		if slices.Contains([]client.BatchCountStatus{"invalid", "settled", "failed", "canceled", "expired", "rejected"}, p.Status) {
			n += p.Lines
		}
	}
	return n
}

// counts tells the lines by status.
func counts(b client.Batch) string {
	var parts []string
	for _, p := range b.Progress {
		parts = append(parts, fmt.Sprintf("%d %s", p.Lines, p.Status))
	}
	return strings.Join(parts, ", ")
}

func shownBatch(b client.Batch) result {
	rows := [][]string{{b.ID, string(b.Status), b.Amount + " " + b.Asset, fmt.Sprintf("in %d lines", b.Lines), "held " + b.Held}}
	for _, p := range b.Progress {
		rows = append(rows, []string{"  " + string(p.Status), strconv.FormatInt(p.Lines, 10), p.Amount + " " + b.Asset})
	}
	return result{b, rows}
}

func submitCommand() *cobra.Command {
	var reference, key string
	var start, follow bool
	cmd := &cobra.Command{
		Use:   "submit FILE.csv|FILE.json|-",
		Short: "Upload a batch, and pay it with --start",
		Long: `Uploads a file of payments (- is standard input, as CSV) and prints the batch. Columns: amount, asset, chain,
address; then reference, priority, max_fee, deadline, metadata.NAME, and chain_2, address_2 and so on for further destinations.`,
		Example: "  settle batch submit payroll.csv --start --watch",
		Args:    cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&start, "start", false, "pay it if every line is valid")
	cmd.Flags().BoolVar(&follow, "watch", false, "with --start: show its progress until it ends")
	cmd.Flags().StringVar(&reference, "reference", "", "your reference for the batch, where the file is CSV")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "repeat an upload safely with the same key (default: a new one)")
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		b, err := submit(ctx, c, cmd.InOrStdin(), args[0], reference, cmp.Or(key, client.NewIdempotencyKey()))
		switch {
		case err != nil:
			return result{}, err
		case b.Status == "invalid":
			return result{}, fmt.Errorf("%d of %d lines are not valid: settle batch errors %s", b.InvalidLines, b.Lines, b.ID)
		case !start:
			return shownBatch(b), nil
		}
		if _, err := c.StartBatchWithResponse(ctx, b.ID); err != nil {
			return result{}, fmt.Errorf("%s is uploaded, and not started: %w", b.ID, err)
		}
		if follow {
			if err := watchBatch(ctx, c, cmd.ErrOrStderr(), b.ID); err != nil {
				return result{}, err
			}
		}
		return readBatch(ctx, c, b.ID)
	})
}

// submit uploads a file, as it is read.
func submit(ctx context.Context, c *client.ClientWithResponses, stdin io.Reader, name, reference, key string) (client.Batch, error) {
	file, media := stdin, "text/csv"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return client.Batch{}, err
		}
		defer func() { _ = f.Close() }() // it was read only
		file = f
	}
	if strings.HasSuffix(name, ".json") {
		media = "application/json"
	}
	ctx, cancel := context.WithTimeout(client.Unbounded(ctx), batchTransfer)
	defer cancel()
	a, err := c.CreateBatchWithBodyWithResponse(ctx, &client.CreateBatchParams{Reference: given(reference), IdempotencyKey: key}, media, file)
	var refused *client.Error
	switch {
	case errors.As(err, &refused):
		return client.Batch{}, err
	case err != nil:
		return client.Batch{}, fmt.Errorf("%w; repeat it with --idempotency-key %s", err, key)
	}
	return *a.JSON201, nil
}

func getBatchCommand() *cobra.Command {
	var follow bool
	cmd := &cobra.Command{Use: "get ID", Short: "Show a batch with its progress", Args: cobra.ExactArgs(1),
		Example: "  settle batch get batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --watch"}
	cmd.Flags().BoolVar(&follow, "watch", false, "show its progress until it ends")
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		if follow {
			if err := watchBatch(ctx, c, cmd.ErrOrStderr(), args[0]); err != nil {
				return result{}, err
			}
		}
		return readBatch(ctx, c, args[0])
	})
}

func readBatch(ctx context.Context, c *client.ClientWithResponses, id string) (result, error) {
	b, err := c.GetBatchWithResponse(ctx, id)
	if err != nil {
		return result{}, err
	}
	return shownBatch(*b.JSON200), nil
}

func startBatchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "start ID", Short: "Pay a batch that is ready", Args: cobra.ExactArgs(1),
		Example: "  settle batch start batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"}
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		if _, err := c.StartBatchWithResponse(ctx, args[0]); err != nil {
			return result{}, err
		}
		return readBatch(ctx, c, args[0])
	})
}

func cancelBatchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "cancel ID", Short: "Stop a batch; payments under way go on", Args: cobra.ExactArgs(1),
		Example: "  settle batch cancel batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"}
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		if _, err := c.CancelBatchWithResponse(ctx, args[0]); err != nil {
			return result{}, err
		}
		return readBatch(ctx, c, args[0])
	})
}

func batchLinesCommand() *cobra.Command {
	var status []string
	cmd := &cobra.Command{Use: "lines ID", Short: "List the lines of a batch, and what became of them", Args: cobra.ExactArgs(1),
		Example: "  settle batch lines batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f --status failed"}
	cmd.Flags().StringSliceVar(&status, "status", nil, "only these statuses, separated by commas")
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		limit := int64(batchPage)
		q := &client.ListBatchLinesParams{Limit: &limit}
		for _, s := range status {
			q.Status = append(q.Status, client.ListBatchLinesParamsStatus(s))
		}
		var lines []client.BatchLine
		for more := true; more; {
			page, err := c.ListBatchLinesWithResponse(ctx, args[0], q)
			if err != nil {
				return result{}, err
			}
			lines = append(lines, page.JSON200.Data...)
			more, q.Cursor = page.JSON200.HasMore, page.JSON200.NextCursor
		}
		return listed(lines, []string{"LINE", "STATUS", "AMOUNT", "REFERENCE", "PAYMENT", "TRANSACTION"}, func(l client.BatchLine) []string {
			return []string{strconv.FormatInt(l.Line, 10), string(l.Status), l.Amount, value(l.Reference), value(l.PaymentIntent), value(l.TransactionHash)}
		}), nil
	})
}

func batchErrorsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "errors ID", Short: "List what is wrong with which line of a batch", Args: cobra.ExactArgs(1),
		Example: "  settle batch errors batch_019a7c3e5f2b7c4d9e8f0a1b2c3d4e5f"}
	return asking(cmd, func(ctx context.Context, c *client.ClientWithResponses, args []string) (result, error) {
		limit := int64(batchPage)
		q := &client.ListBatchErrorsParams{Limit: &limit}
		lines := []client.InvalidLine{}
		for more := true; more; {
			page, err := c.ListBatchErrorsWithResponse(ctx, args[0], q)
			if err != nil {
				return result{}, err
			}
			lines = append(lines, page.JSON200.Data...)
			more, q.Cursor = page.JSON200.HasMore, page.JSON200.NextCursor
		}
		rows := [][]string{{"LINE", "WHERE", "CODE", "WHAT TO DO"}}
		for _, l := range lines {
			for _, e := range l.Errors {
				rows = append(rows, []string{strconv.FormatInt(l.Line, 10), e.Pointer, e.Code, e.Detail})
			}
		}
		return result{lines, rows}, nil
	})
}

// watchBatch shows the progress of a batch until it has ended: as a bar on a
// terminal, as lines elsewhere. The error tells an end that is not completion. An
// API that does not answer is asked again.
func watchBatch(ctx context.Context, c *client.ClientWithResponses, out io.Writer, id string) error {
	bar, shown := isTerminal(out), ""
	for {
		a, err := c.GetBatchWithResponse(ctx, id)
		var refused *client.Error
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("no longer watching; the batch goes on: settle batch get %s --watch", id)
		case errors.As(err, &refused) && refused.Status < http.StatusInternalServerError:
			return err
		case err == nil:
			b := *a.JSON200
			text := fmt.Sprintf("%d of %d lines: %s", settledLines(b), b.Lines, counts(b))
			if bar {
				full := int(barWidth * settledLines(b) / max(b.Lines, 1))
				fmt.Fprintf(out, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), text)
			} else if text != shown {
				fmt.Fprintln(out, text)
			}
			shown = text
			if b.Status == "processing" {
				break
			}
			if bar {
				fmt.Fprintln(out)
			}
			if b.Status != "completed" {
				return fmt.Errorf("%s is %s", id, b.Status)
			}
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(batchEvery):
		}
	}
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
