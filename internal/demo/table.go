package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/settlehq/settle/payment"
)

// stages of a payment, for the bar.
var stages = []payment.Status{payment.Created, payment.Routed, payment.Submitted, payment.Confirming, payment.Settled}

// terminal reports whether a table can be drawn over itself.
func terminal() bool {
	info, err := os.Stdout.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// draw shows all payments, over the last drawing.
func (r *run) draw() {
	if !terminal() {
		return
	}
	if r.drawn > 0 {
		fmt.Printf("\033[%dA", r.drawn)
	}
	for _, l := range r.lines {
		fmt.Printf("\033[2K%s\n", row(l))
	}
	r.drawn = len(r.lines)
}

func row(l *line) string {
	r := l.resource
	took := l.took
	if took == 0 {
		took = time.Since(l.began)
	}
	return fmt.Sprintf("%s…%s  %10s %s  %-8s  %s  %-13s %5.1fs  %s", r.ID[:7], r.ID[len(r.ID)-6:], strings.TrimSuffix(r.Amount, "0000"), r.Asset, r.Chain,
		bar(r.Status), r.Status, took.Seconds(), l.note)
}

// bar fills a cell per stage that the payment has reached.
func bar(s payment.Status) string {
	reached := slices.Index(stages, s) + 1
	switch {
	case s == payment.ManualReview:
		return "▐▌▐▌▐▌▐▌▐▌"
	case s.Terminal() && s != payment.Settled:
		return "××××××××××"
	}
	return strings.Repeat("██", reached) + strings.Repeat("░░", len(stages)-reached)
}
