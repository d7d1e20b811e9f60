package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/user"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/settlehq/settle/config"
	"github.com/settlehq/settle/payment"
)

// operation is an operator's command: it runs with the admin settings, and what
// it shows is for people or, with --output json, for programs.
type operation struct {
	use, short string
	example    string
	args       cobra.PositionalArgs // default: none
	flags      func(*cobra.Command)
	required   []string // flags
	run        func(ctx context.Context, p *process, args []string) (result, error)
}

// result is what an operation shows; the zero value is nothing.
type result struct {
	object any        // as JSON
	rows   [][]string // for people: titles and lines, or one line without titles
}

func (o operation) command() *cobra.Command {
	cmd := &cobra.Command{Use: o.use, Short: o.short, Example: o.example, Args: o.args}
	if o.args == nil {
		cmd.Args = cobra.NoArgs
	}
	if o.flags != nil {
		o.flags(cmd)
	}
	for _, f := range o.required {
		_ = cmd.MarkFlagRequired(f) // it fails for a flag that is not there, which every test would find
	}
	return showing(cmd, func(ctx context.Context, args []string) (result, error) {
		p, err := open(ctx, config.Admin)
		if err != nil {
			return result{}, err
		}
		defer p.close()
		return o.run(ctx, p, args)
	})
}

// showing makes cmd print what run returns, as --output says.
func showing(cmd *cobra.Command, run func(ctx context.Context, args []string) (result, error)) *cobra.Command {
	var output string
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkOutput(output); err != nil {
			return err
		}
		r, err := run(cmd.Context(), args)
		if err != nil {
			return err
		}
		return r.print(cmd.OutOrStdout(), output)
	}
	return outputFlag(cmd, &output)
}

func outputFlag(cmd *cobra.Command, output *string) *cobra.Command {
	cmd.Flags().StringVar(output, "output", "table", "table or json")
	return cmd
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use, Short: short}
	g.AddCommand(commands...)
	return g
}

// checkOutput refuses what --output does not know.
func checkOutput(output string) error {
	if output != "table" && output != "json" {
		return fmt.Errorf("--output %q: use table or json", output)
	}
	return nil
}

func (r result) print(out io.Writer, output string) error {
	if err := checkOutput(output); err != nil {
		return err
	}
	if r.object == nil {
		return nil
	}
	if output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r.object)
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	for _, row := range r.rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// line is a result of which people see one line, e.g. an id to copy.
func line(object any, cells ...string) result { return result{object, [][]string{cells}} }

// listed is a list with a row per item under the titles.
func listed[T any](items []T, titles []string, row func(T) []string) result {
	rows := [][]string{titles}
	for _, i := range items {
		rows = append(rows, row(i))
	}
	if items == nil {
		items = []T{}
	}
	return result{items, rows}
}

// operator names who types, for the audit log.
func operator() string {
	u, err := user.Current()
	if err != nil {
		return "cli"
	}
	return "cli:" + u.Username
}

// usdc reads a flag in units of USDC.
func usdc(flag, text string) (payment.Amount, error) {
	a, err := payment.ParseDecimal(text, payment.USDC.Decimals)
	if err != nil {
		return a, fmt.Errorf("--%s %q: %w; write it like 1000.00", flag, text, err)
	}
	return a, nil
}

// when shows a time, or - for none.
func when(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
