package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/payment"
	"github.com/settlehq/settle/store"
)

// Bounds of the batch commands.
const (
	batchEvery    = time.Second     // between two looks at a batch
	batchTransfer = 6 * time.Minute // for a whole file
	barWidth      = 30
)

func batchCommand() *cobra.Command {
	return group("batch", "Pay many at once, from a file",
		submitCommand(), getBatchCommand(), batchLinesCommand(),
		changeBatchCommand("start", "Pay a batch that is ready"), changeBatchCommand("cancel", "Stop a batch; payments under way go on"),
		batchFileCommand("results", "Print what became of each line, as CSV"), batchFileCommand("errors", "Print what is wrong with which line, as CSV"))
}

// batchView is a batch as the API shows it.
type batchView struct {
	ID           string              `json:"id"`
	Status       payment.BatchStatus `json:"status"`
	Asset        string              `json:"asset"`
	Lines        int                 `json:"lines"`
	InvalidLines int                 `json:"invalid_lines"`
	Amount       string              `json:"amount"`
	Held         string              `json:"held"`
	Progress     []struct {
		Status payment.Status `json:"status"`
		Lines  int            `json:"lines"`
		Amount string         `json:"amount"`
	} `json:"progress"`
}

// ended is how many lines will not change any more.
func (b batchView) ended() (n int) {
	for _, p := range b.Progress {
		if p.Status == payment.LineInvalid || (p.Status.Valid() && p.Status.Terminal()) {
			n += p.Lines
		}
	}
	return n
}

// counts tells the lines by status.
func (b batchView) counts() string {
	var parts []string
	for _, p := range b.Progress {
		parts = append(parts, fmt.Sprintf("%d %s", p.Lines, p.Status))
	}
	return strings.Join(parts, ", ")
}

func submitCommand() *cobra.Command {
	var reference, key, output string
	var start, follow bool
	cmd := &cobra.Command{
		Use:   "submit FILE.csv|FILE.json|-",
		Short: "Upload a batch, and pay it with --start",
		Long: `Uploads a file of payments (- is standard input, as CSV) and prints the batch. Columns: amount, asset, chain,
address; then reference, priority, max_fee, deadline, metadata.NAME, and chain_2, address_2 and so on for further destinations.`,
		Example: "  settle batch submit payroll.csv --start --watch",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			if key == "" {
				key = store.NewID("cli")
			}
			b, err := c.submit(cmd.Context(), cmd.InOrStdin(), args[0], reference, key)
			if err != nil {
				return err
			}
			if b.Status == payment.BatchInvalid {
				return errors.Join(printBatch(cmd.OutOrStdout(), b, asJSON), fmt.Errorf("%d of %d lines are not valid: settle batch errors %s", b.InvalidLines, b.Lines, b.ID))
			}
			if start {
				if err := c.call(cmd.Context(), http.MethodPost, "/v1/batches/"+b.ID+"/start", "", nil, &b); err != nil {
					return errors.Join(printBatch(cmd.OutOrStdout(), b, asJSON), err)
				}
			}
			if err := printBatch(cmd.OutOrStdout(), b, asJSON); err != nil || !start || !follow {
				return err
			}
			return c.watchBatch(cmd.Context(), cmd.ErrOrStderr(), b.ID)
		},
	}
	cmd.Flags().BoolVar(&start, "start", false, "pay it if every line is valid")
	cmd.Flags().BoolVar(&follow, "watch", false, "with --start: show its progress until it ends")
	cmd.Flags().StringVar(&reference, "reference", "", "your reference for the batch, where the file is CSV")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "repeat an upload safely with the same key (default: a new one)")
	batchOutput(cmd, &output)
	return cmd
}

// submit uploads a file, as it is read.
func (c *apiClient) submit(ctx context.Context, stdin io.Reader, name, reference, key string) (b batchView, err error) {
	file, media := stdin, "text/csv"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return b, err
		}
		defer f.Close()
		file = f
	}
	if strings.HasSuffix(name, ".json") {
		media = "application/json"
	}
	path := "/v1/batches"
	if reference != "" {
		path += "?" + url.Values{"reference": {reference}}.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, batchTransfer)
	defer cancel()
	req, err := c.request(ctx, http.MethodPost, path, file)
	if err != nil {
		return b, err
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return b, fmt.Errorf("%w; repeat it with --idempotency-key %s", err, key)
	}
	defer resp.Body.Close()
	if err := refusal(resp); err != nil {
		return b, err
	}
	return b, json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&b)
}

func getBatchCommand() *cobra.Command {
	var output string
	var follow bool
	cmd := &cobra.Command{
		Use: "get ID", Short: "Show a batch with its progress", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			if follow {
				if err := c.watchBatch(cmd.Context(), cmd.ErrOrStderr(), args[0]); err != nil {
					return err
				}
			}
			b, err := c.batch(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printBatch(cmd.OutOrStdout(), b, asJSON)
		},
	}
	cmd.Flags().BoolVar(&follow, "watch", false, "show its progress until it ends")
	batchOutput(cmd, &output)
	return cmd
}

func changeBatchCommand(action, short string) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: action + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			var b batchView
			if err := c.call(cmd.Context(), http.MethodPost, "/v1/batches/"+url.PathEscape(args[0])+"/"+action, "", nil, &b); err != nil {
				return err
			}
			return printBatch(cmd.OutOrStdout(), b, asJSON)
		},
	}
	batchOutput(cmd, &output)
	return cmd
}

func batchLinesCommand() *cobra.Command {
	var status, output string
	cmd := &cobra.Command{
		Use: "lines ID", Short: "List the lines of a batch", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, asJSON, err := streamClient(output)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 4, 2, ' ', 0)
			if !asJSON {
				fmt.Fprintln(w, "LINE\tSTATUS\tAMOUNT\tREFERENCE\tPAYMENT\tTRANSACTION")
			}
			q := url.Values{"limit": {"100"}}
			if status != "" {
				q.Set("status", status)
			}
			for more := true; more; {
				var list page[json.RawMessage]
				if err := c.call(cmd.Context(), http.MethodGet, "/v1/batches/"+url.PathEscape(args[0])+"/lines?"+q.Encode(), "", nil, &list); err != nil {
					return err
				}
				for _, raw := range list.Data {
					if err := printLine(w, raw, asJSON); err != nil {
						return err
					}
				}
				more = list.HasMore
				q.Set("cursor", list.NextCursor)
			}
			return w.Flush()
		},
	}
	cmd.Flags().StringVar(&status, "status", "", "only these, separated by commas")
	batchOutput(cmd, &output)
	return cmd
}

func printLine(w io.Writer, raw json.RawMessage, asJSON bool) error {
	if asJSON {
		_, err := fmt.Fprintln(w, string(raw))
		return err
	}
	var l struct {
		Line      int            `json:"line"`
		Status    payment.Status `json:"status"`
		Amount    string         `json:"amount"`
		Reference string         `json:"reference"`
		Payment   string         `json:"payment_intent"`
		TxHash    string         `json:"transaction_hash"`
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", l.Line, l.Status, l.Amount, l.Reference, l.Payment, l.TxHash)
	return err
}

func batchFileCommand(name, short string) *cobra.Command {
	return &cobra.Command{
		Use: name + " ID", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newAPIClient()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), batchTransfer)
			defer cancel()
			req, err := c.request(ctx, http.MethodGet, "/v1/batches/"+url.PathEscape(args[0])+"/"+name+".csv", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if err := refusal(resp); err != nil {
				return err
			}
			_, err = io.Copy(cmd.OutOrStdout(), resp.Body)
			return err
		},
	}
}

func batchOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", "table", "table or json")
}

func (c *apiClient) batch(ctx context.Context, id string) (b batchView, err error) {
	return b, c.call(ctx, http.MethodGet, "/v1/batches/"+url.PathEscape(id), "", nil, &b)
}

func printBatch(out io.Writer, b batchView, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(b)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%s\t%s\t%s %s\tin %s lines\theld %s\n", b.ID, b.Status, b.Amount, b.Asset, strconv.Itoa(b.Lines), b.Held)
	for _, p := range b.Progress {
		fmt.Fprintf(w, "  %s\t%d\t%s %s\t\t\n", p.Status, p.Lines, p.Amount, b.Asset)
	}
	return w.Flush()
}

// watchBatch shows the progress of a batch until it has ended: as a bar on a
// terminal, as lines elsewhere. The error tells an end that is not completion. An API
// that does not answer is asked again.
func (c *apiClient) watchBatch(ctx context.Context, out io.Writer, id string) error {
	bar, shown := isTerminal(out), ""
	for {
		b, err := c.batch(ctx, id)
		var refused problem
		switch {
		case ctx.Err() != nil:
			fmt.Fprintf(out, "no longer watching; the batch goes on: settle batch get %s --watch\n", id)
			return nil
		case errors.As(err, &refused):
			return err
		case err == nil:
			text := fmt.Sprintf("%d of %d lines: %s", b.ended(), b.Lines, b.counts())
			if bar {
				full := barWidth * b.ended() / max(b.Lines, 1)
				fmt.Fprintf(out, "\r\x1b[K[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), text)
			} else if text != shown {
				fmt.Fprintln(out, text)
			}
			shown = text
			if b.Status != payment.BatchProcessing {
				if bar {
					fmt.Fprintln(out)
				}
				if b.Status != payment.BatchCompleted {
					return fmt.Errorf("%s is %s", id, b.Status)
				}
				return nil
			}
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
