package witness

import (
	"context"
	"errors"
	"fmt"

	"github.com/settlehq/settle/chains"
	"github.com/settlehq/settle/chains/rpcpool"
)

// Agreed asks nodes for the answers to count questions, and returns for each
// what a quorum of them says alike while no other quorum says otherwise; the
// zero value, which must conclude nothing, where there is no such answer.
// Nodes beyond a quorum are asked only if those do not agree. The error wraps
// chains.ErrUnknown if fewer than a quorum answered, and chains.ErrFrozen if
// finality has failed.
func Agreed[T any](ctx context.Context, p *rpcpool.Pool, a *Anchor, count int, same func(T, T) bool, ask func(context.Context, *rpcpool.Node) ([]T, error)) ([]T, error) {
	need := p.Quorum()
	votes, err := Quorum(ctx, p, a, ask)
	if err != nil {
		return nil, err
	}
	out, settled := elect(votes, count, need, same)
	if settled {
		return out, nil
	}
	asked := make([]*rpcpool.Node, len(votes))
	for i, v := range votes {
		asked[i] = v.Node
	}
	out, _ = elect(append(votes, rpcpool.Ask(ctx, p, p.Size(), asked, ask)...), count, need, same)
	return out, nil
}

// Quorum is the answers of a quorum of nodes. Its errors are those of Agreed.
func Quorum[T any](ctx context.Context, p *rpcpool.Pool, a *Anchor, ask func(context.Context, *rpcpool.Node) (T, error)) ([]rpcpool.Vote[T], error) {
	if err := a.Err(); err != nil {
		return nil, err
	}
	var answers []rpcpool.Vote[T]
	var failures []error
	for _, v := range rpcpool.Ask(ctx, p, p.Quorum(), nil, ask) {
		if v.Err != nil {
			failures = append(failures, v.Err)
			continue
		}
		answers = append(answers, v)
	}
	if need := p.Quorum(); len(answers) < need {
		few := fmt.Errorf("%w: %d of %d nodes answered", chains.ErrUnknown, len(answers), need)
		return nil, errors.Join(append([]error{few}, failures...)...)
	}
	return answers, nil
}

// elect takes, question by question, the answer that need votes give. settled
// is false if there is none, or another one with as many.
func elect[T any](votes []rpcpool.Vote[[]T], count, need int, same func(T, T) bool) (out []T, settled bool) {
	out, settled = make([]T, count), true
	for i := range out {
		var elected []T
		for _, v := range votes {
			if v.Err != nil || holds(elected, v.Said[i], same) {
				continue
			}
			if support(votes, i, v.Said[i], same) >= need {
				elected = append(elected, v.Said[i])
			}
		}
		if len(elected) == 1 {
			out[i] = elected[0]
		} else {
			settled = false
		}
	}
	return out, settled
}

func holds[T any](list []T, x T, same func(T, T) bool) bool {
	for _, y := range list {
		if same(x, y) {
			return true
		}
	}
	return false
}

func support[T any](votes []rpcpool.Vote[[]T], i int, x T, same func(T, T) bool) int {
	n := 0
	for _, v := range votes {
		if v.Err == nil && same(x, v.Said[i]) {
			n++
		}
	}
	return n
}
