package model

import (
	"testing"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/chains"
	"pgregory.net/rapid"
)

// bug is what a planted bug changes; the zero bug changes nothing.
type bug struct {
	name     string
	onLaner  func(chains.Laner) chains.Laner
	onPlain  func(chains.Chain) chains.Chain
	onSent   func(*driver, *activities.Steps)
	onSettle func(*driver, activities.SettleInput) activities.SettleInput
}

func (b bug) laner(c chains.Laner) chains.Laner {
	if b.onLaner == nil {
		return c
	}
	return b.onLaner(c)
}

func (b bug) plain(c chains.Chain) chains.Chain {
	if b.onPlain == nil {
		return c
	}
	return b.onPlain(c)
}

func (b bug) sent(d *driver, s *activities.Steps) {
	if b.onSent != nil {
		b.onSent(d, s)
	}
}

func (b bug) told(d *driver, in activities.SettleInput) activities.SettleInput {
	if b.onSettle == nil {
		return in
	}
	return b.onSettle(d, in)
}

func testingOf(t rapid.TB) testing.TB { return t.(testing.TB) }
